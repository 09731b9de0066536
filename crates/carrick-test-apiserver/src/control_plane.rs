//! A real etcd and kube-apiserver, as processes in a network namespace.

mod error;
mod options;
mod processes;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::{fs, io, thread};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

pub use self::error::Error;
pub use self::options::{ADMIN, Assets, ExtraFlags, Options, User};
use self::processes::{Launch, supervise};
use crate::kubeconfig;
use crate::namespace::within;

/// A name in the certificate that kube-apiserver makes for itself, whatever its address is. A client that checks this name can
/// connect through a proxy at any address.
const CERTIFIED_NAME: &str = "kubernetes";

/// A running control plane. Dropping it kills its processes, and so does the end of this process.
pub struct ControlPlane {
    options: Options,
    stop: Option<mpsc::Sender<()>>,
    supervisor: Option<thread::JoinHandle<()>>,
}

impl ControlPlane {
    /// Starts a control plane, waits until it is ready, and applies the manifests.
    ///
    /// # Errors
    /// Every [`Error`] except [`Error::Assets`].
    pub fn start(options: Options) -> Result<Self, Error> {
        Self::start_with(options, ExtraFlags::default())
    }

    /// Starts a control plane with extra flags.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub fn start_with(options: Options, flags: ExtraFlags) -> Result<Self, Error> {
        let directory = &options.directory;
        fs::create_dir_all(directory).map_err(|e| Error::io("make", directory, e))?;
        let tokens = directory.join("tokens.csv");
        fs::write(&tokens, token_file(&options.users)).map_err(|e| Error::io("write", &tokens, e))?;

        let launch = Launch {
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
        let supervisor = thread::spawn(move || supervise(&launch, namespace, &report, &stopped));
        let control_plane = Self { options, stop: Some(stop), supervisor: Some(supervisor) };
        let panicked = || Error::Namespace(io::Error::other("the supervisor thread panicked"));
        started.recv().map_err(|_| panicked())??;
        control_plane.apply_manifests()?;
        Ok(control_plane)
    }

    /// The URL of kube-apiserver in its network namespace.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.options.address)
    }

    /// A kubeconfig (YAML) for a user. `url` is the URL at which that user reaches the server or a proxy to it.
    ///
    /// # Errors
    /// The server's certificate cannot be read.
    pub fn kubeconfig(&self, url: &str, user: &str) -> Result<String, Error> {
        kubeconfig_of(&self.options.directory, url, user)
    }

    /// The programs of this control plane.
    #[must_use]
    pub const fn assets(&self) -> &Assets {
        &self.options.assets
    }

    /// Runs kubectl as [`ADMIN`] in the network namespace and returns its standard output.
    ///
    /// # Errors
    /// [`Error::Kubectl`] if kubectl fails.
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

    /// Starts kubectl as [`ADMIN`] in the network namespace, with pipes from its standard output and standard error.
    ///
    /// # Errors
    /// kubectl cannot be started.
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

    /// Applies a file or a directory of manifests, and waits until the API serves its CustomResourceDefinitions.
    ///
    /// # Errors
    /// kubectl fails.
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

/// A kubeconfig (YAML) for a user of the control plane that has its state and its certificate in `directory`. `url` is the URL at
/// which that user reaches the server or a proxy to it.
///
/// # Errors
/// The certificate cannot be read.
pub fn kubeconfig_of(directory: &Path, url: &str, user: &str) -> Result<String, Error> {
    let path = directory.join("pki/apiserver.crt");
    let authority = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let cluster = json!({
        "server": url, "tls-server-name": CERTIFIED_NAME,
        "certificate-authority-data": BASE64_STANDARD.encode(authority),
    });
    Ok(kubeconfig::render(&cluster, user))
}

/// The content of `--token-auth-file`: token, name, UID, groups.
fn token_file(users: &[User]) -> String {
    let admin = User { name: ADMIN.to_owned(), groups: vec!["system:masters".to_owned()] };
    let lines = users.iter().chain([&admin]).map(|user| {
        let User { name, groups } = user;
        format!("{name},{name},{name},\"{}\"\n", groups.join(","))
    });
    lines.collect()
}
