//! A real etcd and kube-apiserver, as processes in a network namespace.

mod processes;

use std::{
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use self::processes::{Launch, keep};
use crate::setns::within;

/// The user of [`ControlPlane::kubectl`]; may do everything.
pub const ADMIN: &str = "admin";
/// A name in the certificate that kube-apiserver makes for itself, whatever its address. Clients
/// that check for it can come through proxies at any address.
const CERTIFIED_NAME: &str = "kubernetes";

/// The directory with `etcd`, `kube-apiserver` and `kubectl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets(PathBuf);

impl Assets {
    /// Lets `tests/kubernetes/build.sh` (given as `script`) find or build them; its progress goes to
    /// stderr.
    ///
    /// # Errors
    ///
    /// [`Error::Assets`], after the script has said on stderr what is missing.
    pub fn locate(script: &Path) -> Result<Self, Error> {
        Self::provide(script, "apiserver")
    }

    fn provide(script: &Path, set: &str) -> Result<Self, Error> {
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

    /// The same, with the programs of a whole cluster.
    ///
    /// # Errors
    ///
    /// As [`Assets::locate`].
    pub fn locate_cluster(script: &Path) -> Result<Self, Error> {
        Self::provide(script, "cluster")
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Somebody that the API server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, such as `system:serviceaccount:carrick-system:carrick`; it is the token, too.
    pub name: String,
    /// The groups, such as `system:masters`.
    pub groups: Vec<String>,
}

/// What a control plane is started with.
#[derive(Debug)]
pub struct Options {
    /// The programs.
    pub assets: Assets,
    /// The network namespace that it runs in, with `lo` up; `None` is the caller's.
    pub namespace: Option<OwnedFd>,
    /// The address of that namespace at which clients find it.
    pub address: SocketAddr,
    /// Where it keeps its state and its logs; made if it is not there, left behind at the end.
    pub directory: PathBuf,
    /// Who may talk to it, besides [`ADMIN`].
    pub users: Vec<User>,
    /// Files or directories that are applied once it is ready: CustomResourceDefinitions, RBAC.
    pub manifests: Vec<PathBuf>,
}

/// Flags that the processes get besides the lab's own.
#[derive(Clone, Debug, Default)]
pub struct FurtherFlags {
    /// Of kube-apiserver, such as `--audit-log-path=FILE`.
    pub apiserver: Vec<String>,
    /// Of etcd, such as `--quota-backend-bytes=4000000000`.
    pub etcd: Vec<String>,
}

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The programs are not there and could not be built.
    #[error("{} found or built no kube-apiserver ({status})", script.display())]
    Assets {
        /// The script that was asked.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file or a program could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The network namespace cannot be used.
    #[error("cannot work in the network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// A program ended by itself.
    #[error("{program} ended ({status}); its log ends with:\n{log}")]
    Ended {
        /// Which one.
        program: &'static str,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// kubectl failed.
    #[error("kubectl {arguments}: {stderr}")]
    Kubectl {
        /// What it was asked.
        arguments: String,
        /// What it said.
        stderr: String,
    },
}

impl Error {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// A running control plane. Dropping it kills its processes, and so does the end of this one.
pub struct ControlPlane {
    options: Options,
    stop: Option<mpsc::Sender<()>>,
    supervisor: Option<thread::JoinHandle<()>>,
}

impl ControlPlane {
    /// Starts it, waits until it is ready, and applies the manifests.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but [`Error::Assets`].
    pub fn start(options: Options) -> Result<Self, Error> {
        Self::start_with(options, FurtherFlags::default())
    }

    /// The same, with further flags.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::start`].
    pub fn start_with(options: Options, flags: FurtherFlags) -> Result<Self, Error> {
        let directory = &options.directory;
        fs::create_dir_all(directory).map_err(|e| Error::io("make", directory, e))?;
        let tokens = directory.join("tokens.csv");
        fs::write(&tokens, token_file(&options.users)).map_err(|e| Error::io("write", &tokens, e))?;

        let plan = Launch {
            assets: options.assets.clone(),
            directory: options.directory.clone(),
            address: options.address,
            flags,
        };
        let namespace = match &options.namespace {
            Some(namespace) => Some(namespace.try_clone().map_err(Error::Namespace)?),
            None => None,
        };
        let (report, started) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let supervisor = thread::spawn(move || keep(&plan, namespace, &report, &stopped));
        let control_plane = Self { options, stop: Some(stop), supervisor: Some(supervisor) };
        let ended = || Error::Namespace(io::Error::other("the supervisor thread panicked"));
        started.recv().map_err(|_| ended())??;
        control_plane.apply_manifests()?;
        Ok(control_plane)
    }

    /// Its URL, as seen from its network namespace.
    pub fn url(&self) -> String {
        format!("https://{}", self.options.address)
    }

    /// A kubeconfig (YAML) for a user; `url` is where that user finds the server or a proxy to it.
    ///
    /// # Errors
    ///
    /// The server's certificate cannot be read.
    pub fn kubeconfig(&self, url: &str, user: &str) -> Result<String, Error> {
        kubeconfig(&self.options.directory, url, user)
    }

    /// The programs that it runs.
    #[must_use]
    pub const fn assets(&self) -> &Assets {
        &self.options.assets
    }

    /// Runs kubectl as [`ADMIN`] in the network namespace; gives what it prints.
    ///
    /// # Errors
    ///
    /// [`Error::Kubectl`] when it fails, with what it said.
    pub fn kubectl<A: AsRef<OsStr> + Sync>(&self, arguments: &[A]) -> Result<String, Error> {
        let mut command = self.kubectl_command(arguments)?;
        let output = within(self.options.namespace.as_ref(), || command.output())
            .map_err(Error::Namespace)?
            .map_err(|e| Error::io("run", Path::new(command.get_program()), e))?;
        if !output.status.success() {
            let arguments: Vec<_> = arguments.iter().map(|a| a.as_ref().to_string_lossy()).collect();
            return Err(Error::Kubectl {
                arguments: arguments.join(" "),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts kubectl as [`ADMIN`] in the network namespace, with pipes from its standard output and errors.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_kubectl<A: AsRef<OsStr> + Sync>(&self, arguments: &[A]) -> Result<Child, Error> {
        let mut command = self.kubectl_command(arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        within(self.options.namespace.as_ref(), || command.spawn())
            .map_err(Error::Namespace)?
            .map_err(|e| Error::io("run", Path::new(command.get_program()), e))
    }

    fn kubectl_command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Command, Error> {
        let path = self.options.directory.join("admin.conf");
        if !path.exists() {
            let config = self.kubeconfig(&self.url(), ADMIN)?;
            fs::write(&path, config).map_err(|e| Error::io("write", &path, e))?;
        }
        let mut command = Command::new(self.options.assets.program("kubectl"));
        command.arg("--kubeconfig").arg(&path).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// Applies a file or a directory of manifests and waits for its CustomResourceDefinitions to be
    /// served.
    ///
    /// # Errors
    ///
    /// kubectl's.
    pub fn apply(&self, manifest: &Path) -> Result<(), Error> {
        let apply: [&OsStr; 4] = ["apply".as_ref(), "--server-side".as_ref(), "--filename".as_ref(), manifest.as_ref()];
        self.kubectl(&apply)?;
        if !self.kubectl(&["get", "crd", "--output=name"])?.is_empty() {
            self.kubectl(&["wait", "--for=condition=Established", "crd", "--all"])?;
        }
        Ok(())
    }

    fn apply_manifests(&self) -> Result<(), Error> {
        self.options.manifests.iter().try_for_each(|manifest| self.apply(manifest))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(supervisor) = self.supervisor.take()
            && supervisor.join().is_err()
        {
            tracing::error!(event = "control_plane_panicked");
        }
    }
}

/// A kubeconfig (YAML) for a user of the control plane that keeps its state in `directory`, and whose certificate is there;
/// `url` is where that user finds the server or a proxy to it.
///
/// # Errors
///
/// The certificate cannot be read.
pub fn kubeconfig(directory: &Path, url: &str, user: &str) -> Result<String, Error> {
    let path = directory.join("pki/apiserver.crt");
    let authority = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let cluster = json!({
        "server": url, "tls-server-name": CERTIFIED_NAME,
        "certificate-authority-data": BASE64_STANDARD.encode(authority),
    });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": cluster }],
        "users": [{ "name": "lab", "user": { "token": user } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
    });
    // JSON is YAML.
    Ok(format!("{config:#}\n"))
}

/// The format of `--token-auth-file`: token, name, UID, groups.
fn token_file(users: &[User]) -> String {
    let admin = User { name: ADMIN.to_owned(), groups: vec!["system:masters".to_owned()] };
    let lines = users.iter().chain([&admin]).map(|user| {
        let User { name, groups } = user;
        format!("{name},{name},{name},\"{}\"\n", groups.join(","))
    });
    lines.collect()
}
