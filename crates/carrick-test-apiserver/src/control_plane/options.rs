//! What a control plane is started with.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::Error;

/// The administrator: the user that [`ControlPlane::kubectl`](super::ControlPlane::kubectl) acts as.
pub const ADMIN: &str = "admin";

/// The directory with `etcd`, `kube-apiserver` and `kubectl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets(PathBuf);

impl Assets {
    /// Runs `script` (`tests/kubernetes/build.sh`), which finds or builds the programs. The script reports its progress on standard
    /// error.
    ///
    /// # Errors
    /// [`Error::Assets`], after the script has reported on standard error what is missing.
    pub fn locate(script: &Path) -> Result<Self, Error> {
        Self::run(script, "apiserver")
    }

    /// As [`Assets::locate`], with all programs of a cluster.
    ///
    /// # Errors
    /// As [`Assets::locate`].
    pub fn locate_cluster(script: &Path) -> Result<Self, Error> {
        Self::run(script, "cluster")
    }

    fn run(script: &Path, set: &str) -> Result<Self, Error> {
        let output = Command::new(script)
            .arg(set)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| Error::io("run", script, source))?;
        let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || directory.is_empty() {
            return Err(Error::Assets { script: script.to_owned(), status: output.status });
        }
        Ok(Self(directory.into()))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A user of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, such as `system:serviceaccount:carrick-system:carrick`. It is also the bearer token.
    pub name: String,
    /// The groups, such as `system:masters`.
    pub groups: Vec<String>,
}

/// What a control plane is started with.
#[derive(Debug)]
pub struct Options {
    /// The programs.
    pub assets: Assets,
    /// The network namespace of the processes, with `lo` up; `None` is the caller's namespace.
    pub namespace: Option<OwnedFd>,
    /// The address of that namespace at which clients reach kube-apiserver.
    pub address: SocketAddr,
    /// The directory of state and logs. It is made if it does not exist, and is not removed.
    pub directory: PathBuf,
    /// The users besides [`ADMIN`].
    pub users: Vec<User>,
    /// Files or directories to apply when kube-apiserver is ready: CustomResourceDefinitions, RBAC.
    pub manifests: Vec<PathBuf>,
}

/// Flags of the processes besides those that this crate sets.
#[derive(Clone, Debug, Default)]
pub struct ExtraFlags {
    /// Flags of kube-apiserver, such as `--audit-log-path=FILE`.
    pub apiserver: Vec<String>,
    /// Flags of etcd, such as `--quota-backend-bytes=4000000000`.
    pub etcd: Vec<String>,
}
