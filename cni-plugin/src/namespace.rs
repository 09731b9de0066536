//! Pods' network namespaces.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::protocol::{Code, Error};

const OWN: &str = "/proc/thread-self/ns/net";

/// A pod's network namespace, held open.
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
    /// It is not there ([`Code::UnknownContainer`]), or is the host's own ([`Code::InvalidEnvironment`]):
    /// what is made for a pod must never land on the host.
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
            return Err(unusable(path, "this is the host's own network namespace"));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where the runtime put it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open namespace.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` inside the namespace, on this thread, and comes back.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered or left, or `work` failed.
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
