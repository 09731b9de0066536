//! A whole call, judged as far as that goes without looking at the machine.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::configuration::{Configuration, PreviousResult};
use super::environment::{Command, Environment};
use super::error::Error;
use super::requests::Requests;
use super::valid_attachments::ValidAttachments;
use super::version;
use carrick_pods::cni_version::Version;
use carrick_pods::{Attachment, PodName};

/// What the runtime wants, with all that the command needs and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Attach a pod.
    Add(Add),
    /// Detach a pod.
    Del(Del),
    /// Tell whether a pod is still attached as ADD left it.
    Check(Check),
    /// Remove what belongs to no attachment any more.
    Gc(Gc),
    /// Tell whether pods could be attached, with what stands in this run directory.
    Status(PathBuf),
    /// Say this, which tells the versions of the specification that are spoken.
    Version(Value),
}

/// What ADD needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// The connection that is to be made.
    pub attachment: Attachment,
    /// The path of the pod's network namespace.
    pub namespace: PathBuf,
    /// What Kubernetes calls the pod, where the runtime says so.
    pub pod: Option<PodName>,
    /// What the pod is to have beside what every pod has.
    pub requests: Requests,
    /// Name servers, passed on to the result.
    pub dns: Option<Value>,
    /// Where the agent's data and the plugin's records are.
    pub run_directory: PathBuf,
}

/// What DEL needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Del {
    /// The connection that is to be removed.
    pub attachment: Attachment,
    /// Where the plugin's records are.
    pub run_directory: PathBuf,
}

/// What CHECK needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The connection that is to be looked at.
    pub attachment: Attachment,
    /// The path of the pod's network namespace.
    pub namespace: PathBuf,
    /// What ADD and the plugins behind this one made.
    pub expected: PreviousResult,
    /// Where the plugin's records are.
    pub run_directory: PathBuf,
}

/// What GC needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gc {
    /// The network whose attachments are meant.
    pub network: String,
    /// Those of them that stay.
    pub valid: ValidAttachments,
    /// Where the plugin's records are.
    pub run_directory: PathBuf,
}

impl Call {
    /// Reads a call of `command` from the environment and the configuration in `input`. Also says in which version to
    /// answer: the configuration's, as soon as that is known.
    ///
    /// # Errors
    ///
    /// Something that the command needs is missing or wrong.
    pub fn read(command: Command, environment: &Environment, input: &[u8]) -> (Version, Result<Self, Error>) {
        let mut version = Version::NEWEST;
        let mut configuration = || {
            let configuration = Configuration::parse(input)?;
            version = configuration.version;
            version::require(version, command)?;
            Ok(configuration)
        };
        let call = match command {
            Command::Add => configuration().and_then(|it| Add::read(it, environment)).map(Self::Add),
            Command::Del => configuration().and_then(|it| Del::read(it, environment)).map(Self::Del),
            Command::Check => configuration().and_then(|it| Check::read(it, environment)).map(Self::Check),
            Command::Gc => configuration().and_then(Gc::read).map(Self::Gc),
            Command::Status => configuration().map(|it| Self::Status(it.run_directory)),
            Command::Version => Ok(Self::Version(version::report(input))),
        };
        (version, call)
    }
}

impl Call {
    /// Where the agent's data and the plugin's records are, for commands that need them.
    #[must_use]
    pub fn run_directory(&self) -> Option<&Path> {
        match self {
            Self::Add(call) => Some(&call.run_directory),
            Self::Del(call) => Some(&call.run_directory),
            Self::Check(call) => Some(&call.run_directory),
            Self::Gc(call) => Some(&call.run_directory),
            Self::Status(run_directory) => Some(run_directory),
            Self::Version(_) => None,
        }
    }
}

impl Add {
    fn read(configuration: Configuration, environment: &Environment) -> Result<Self, Error> {
        configuration.require_first()?;
        Ok(Self {
            attachment: attachment(&configuration, environment)?,
            namespace: environment.namespace()?,
            pod: environment.pod_name(),
            requests: configuration.requests()?.or_arguments(environment)?,
            dns: configuration.dns,
            run_directory: configuration.run_directory,
        })
    }
}

impl Del {
    fn read(configuration: Configuration, environment: &Environment) -> Result<Self, Error> {
        let attachment = attachment(&configuration, environment)?;
        Ok(Self { attachment, run_directory: configuration.run_directory })
    }
}

impl Check {
    fn read(configuration: Configuration, environment: &Environment) -> Result<Self, Error> {
        Ok(Self {
            attachment: attachment(&configuration, environment)?,
            namespace: environment.namespace()?,
            expected: configuration.previous_result()?,
            run_directory: configuration.run_directory,
        })
    }
}

impl Gc {
    fn read(configuration: Configuration) -> Result<Self, Error> {
        let valid = configuration.valid_attachments()?;
        Ok(Self { network: configuration.network, valid, run_directory: configuration.run_directory })
    }
}

fn attachment(configuration: &Configuration, environment: &Environment) -> Result<Attachment, Error> {
    Ok(Attachment {
        network: configuration.network.clone(),
        container_id: environment.container_id()?,
        interface: environment.interface()?,
    })
}
