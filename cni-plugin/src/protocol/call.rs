//! A complete call, validated without any access to the machine.

use std::path::{Path, PathBuf};

use carrick_pods::cni_version::Version;
use carrick_pods::{Attachment, PodName};
use serde_json::Value;

use super::configuration::{Configuration, PreviousResult};
use super::environment::{Command, Environment};
use super::error::Error;
use super::requests::Requests;
use super::valid_attachments::ValidAttachments;
use super::version;

/// A call of the runtime, with the parameters that its command needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Attach a pod.
    Add(Add),
    /// Detach a pod.
    Del(Del),
    /// Verify that a pod is attached as ADD configured it.
    Check(Check),
    /// Remove everything that belongs to no valid attachment.
    Gc(Gc),
    /// Report whether the plugin can attach pods, with the files of this run directory.
    Status(PathBuf),
    /// Report the supported versions of the specification, with this answer.
    Version(Value),
}

/// The parameters of ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// The attachment to add.
    pub attachment: Attachment,
    /// The path of the pod's network namespace.
    pub namespace: PathBuf,
    /// The pod's name in Kubernetes, if the runtime passes it.
    pub pod: Option<PodName>,
    /// What the runtime requests for this pod.
    pub requests: Requests,
    /// The `dns` of the configuration, which the result repeats.
    pub dns: Option<Value>,
    /// The directory with the node data and the records.
    pub run_directory: PathBuf,
}

/// The parameters of DEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Del {
    /// The attachment to remove.
    pub attachment: Attachment,
    /// The directory with the records.
    pub run_directory: PathBuf,
}

/// The parameters of CHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The attachment to verify.
    pub attachment: Attachment,
    /// The path of the pod's network namespace.
    pub namespace: PathBuf,
    /// The result of ADD, of this plugin and of the later plugins of the list.
    pub expected: PreviousResult,
    /// The directory with the records.
    pub run_directory: PathBuf,
}

/// The parameters of GC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gc {
    /// The network whose attachments are removed.
    pub network: String,
    /// The attachments that are kept.
    pub valid: ValidAttachments,
    /// The directory with the records.
    pub run_directory: PathBuf,
}

impl Call {
    /// Reads a call of `command` from the environment and from the configuration in `input`. Also returns the version of the answer:
    /// the version of the configuration, or the newest one if the configuration cannot be read.
    ///
    /// # Errors
    ///
    /// A parameter of the command is missing or wrong.
    pub fn read(command: Command, environment: &Environment, input: &[u8]) -> (Version, Result<Self, Error>) {
        let mut version = Version::NEWEST;
        let mut parse = || {
            let configuration = Configuration::parse(input)?;
            version = configuration.version;
            version::require(version, command)?;
            Ok(configuration)
        };
        let call = match command {
            Command::Add => parse().and_then(|configuration| Add::read(configuration, environment)).map(Self::Add),
            Command::Del => parse().and_then(|configuration| Del::read(configuration, environment)).map(Self::Del),
            Command::Check => {
                parse().and_then(|configuration| Check::read(configuration, environment)).map(Self::Check)
            }
            Command::Gc => parse().and_then(Gc::read).map(Self::Gc),
            Command::Status => parse().map(|configuration| Self::Status(configuration.run_directory)),
            Command::Version => Ok(Self::Version(version::report(input))),
        };
        (version, call)
    }

    /// The run directory; `None` for VERSION.
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
