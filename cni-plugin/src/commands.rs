//! From a call to its answer.

mod add;
mod check;
mod del;
mod gc;
mod status;

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::protocol::{Call, Code, Environment, Error, Version};
use carrick_pods::call_log::CallRecord;
use carrick_pods::firewall::FirewallError;
use carrick_pods::ipam::{PoolError, StoreError};
use carrick_pods::node_data::NodeDataError;

/// What goes back to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The JSON for standard output, or nothing at all.
    pub output: Option<String>,
    /// Whether the exit code is 0.
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked; the exit code is 0.
    Success,
    /// It failed; the output says why.
    Failure,
}

/// Does what the runtime asks for by the environment and the configuration in `input`, which is read only when the
/// environment names a command.
pub fn run(environment: &Environment, input: impl Read) -> Answer {
    let began = Instant::now();
    let (version, call) = match environment.command().and_then(|command| Ok((command, read(input)?))) {
        Ok((command, content)) => Call::read(command, environment, &content),
        Err(error) => (Version::NEWEST, Err(error)),
    };
    let run_directory = call.as_ref().ok().and_then(Call::run_directory).map(Path::to_path_buf);
    let result = call.and_then(|call| dispatch(call, version));
    if let (Some(run_directory), Ok(command)) = (run_directory, environment.command()) {
        let code = result.as_ref().err().map_or(0, |error| error.code.number());
        let record = CallRecord { command: command.to_string(), code, took: began.elapsed() };
        // A call does not fail because nobody can count it.
        let _ = record.append(&run_directory);
    }
    match result {
        Ok(output) => Answer { output: output.map(|json| json.to_string()), outcome: Outcome::Success },
        Err(error) => Answer { output: Some(error.to_json(version).to_string()), outcome: Outcome::Failure },
    }
}

fn read(mut input: impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    input.read_to_end(&mut content).map_err(|error| {
        Error::new(Code::InputOutput, "cannot read the configuration", format!("standard input: {error}"))
    })?;
    Ok(content)
}

fn dispatch(call: Call, version: Version) -> Result<Option<Value>, Error> {
    match call {
        Call::Add(call) => add::add(call).map(|result| Some(result.to_json(version))),
        Call::Del(call) => del::del(&call).map(|()| None),
        Call::Check(call) => check::check(&call).map(|()| None),
        Call::Gc(call) => gc::gc(&call).map(|()| None),
        Call::Status(run_directory) => status::status(&run_directory).map(|()| None),
        Call::Version(report) => Ok(Some(report)),
    }
}

impl From<NodeDataError> for Error {
    fn from(error: NodeDataError) -> Self {
        let details = error.to_string();
        match error {
            NodeDataError::Missing(_) => {
                Self::new(Code::TryAgainLater, "the agent has not programmed this node yet", details)
            }
            NodeDataError::Unreadable { .. } => Self::new(Code::InputOutput, "cannot read the node's data", details),
            NodeDataError::Damaged { .. } => Self::new(Code::DamagedState, "the node's data is damaged", details),
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::NoCidr => {
                Self::new(Code::TryAgainLater, "the agent has not programmed this node yet", error.to_string())
            }
            PoolError::TooSmall(_) => {
                Self::new(Code::InvalidConfiguration, "the node's pod CIDRs are unusable", error.to_string())
            }
        }
    }
}

impl From<FirewallError> for Error {
    fn from(error: FirewallError) -> Self {
        match error {
            FirewallError::Kernel(error) => error.into(),
            FirewallError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let details = error.to_string();
        match error {
            StoreError::AttachedAlready(_) => Self::new(Code::AttachedAlready, "attached already", details),
            StoreError::Exhausted(_) => Self::new(Code::AddressesExhausted, "no address is free", details),
            StoreError::OutOfRange(_) => Self::new(Code::InvalidConfiguration, "invalid configuration", details),
            StoreError::AddressInUse(..) | StoreError::HostPortInUse(..) => {
                Self::new(Code::Conflict, "another pod has what this one asks for", details)
            }
            StoreError::Damaged { .. } => Self::new(Code::DamagedState, "a record is damaged", details),
            StoreError::InputOutput { .. } => Self::new(Code::InputOutput, "cannot keep the node's records", details),
        }
    }
}
