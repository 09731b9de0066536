//! The network namespace of a pod.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::protocol::{Code, Error};

const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace of a pod.
#[derive(Debug)]
pub(crate) struct PodNamespace {
    path: PathBuf,
    file: File,
}

impl PodNamespace {
    /// Opens the namespace at `path`.
    ///
    /// # Errors
    ///
    /// The namespace does not exist ([`Code::UnknownContainer`]), or it is the host's ([`Code::InvalidEnvironment`]): the plugin must
    /// never configure a pod's addresses and routes on the host.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let details = format!("CNI_NETNS: {}: {error}", path.display());
                Error::new(Code::UnknownContainer, "the pod's network namespace does not exist", details)
            }
            _ => unusable(path, &error.to_string()),
        })?;
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let own = File::open(OWN).and_then(|own| identity(&own)).map_err(|error| unusable(path, &error.to_string()))?;
        if identity(&file).is_ok_and(|this| this == own) {
            return Err(unusable(path, "this is the host's network namespace"));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// The path that the runtime gave.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file of the namespace.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on this thread inside the namespace, then returns to the host's namespace.
    ///
    /// # Errors
    ///
    /// The thread cannot enter or leave the namespace, or `work` failed.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let own = File::open(OWN).map_err(|error| unusable(&self.path, &error.to_string()))?;
        switch(&self.file, &self.path)?;
        let result = work();
        switch(&own, Path::new(OWN))?;
        result
    }
}

fn switch(namespace: &File, path: &Path) -> Result<(), Error> {
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EINVAL => unusable(path, "not a network namespace"),
        errno => unusable(path, &format!("cannot enter: {}", errno.desc())),
    })
}

fn unusable(path: &Path, problem: &str) -> Error {
    let details = format!("CNI_NETNS: {}: {problem}", path.display());
    Error::new(Code::InvalidEnvironment, "cannot use the pod's network namespace", details)
}
