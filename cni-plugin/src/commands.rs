//! Runs a call and makes the answer.

mod add;
mod check;
mod del;
mod gc;
mod loopback;
mod status;

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use carrick_pods::call_log::CallRecord;
use serde_json::Value;

pub use loopback::run_loopback;

use crate::protocol::{Call, Code, Environment, Error, Version};

/// The answer to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text for standard output; `None` for no output.
    pub output: Option<String>,
    /// The outcome, which decides the exit code.
    pub outcome: Outcome,
}

/// The longest configuration that the plugin reads, in bytes. The list of attachments of GC is the longest part: some 100 bytes for each pod.
const LONGEST_INPUT: u64 = 1 << 20;

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call succeeded. The exit code is 0.
    Success,
    /// The call failed. The output says why, and the exit code is 1.
    Failure,
}

/// Runs the call of a container runtime. `input` holds the configuration, and is read only if the environment names a command.
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
        // The call succeeds even if it cannot be logged.
        let _ = record.append(&run_directory);
    }
    answer(version, result)
}

fn answer(version: Version, result: Result<Option<Value>, Error>) -> Answer {
    match result {
        Ok(output) => Answer { output: output.map(|json| json.to_string()), outcome: Outcome::Success },
        Err(error) => Answer { output: Some(error.to_json(version).to_string()), outcome: Outcome::Failure },
    }
}

fn read(input: impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    input.take(LONGEST_INPUT + 1).read_to_end(&mut content).map_err(|error| {
        Error::new(Code::InputOutput, "cannot read the configuration", format!("standard input: {error}"))
    })?;
    if u64::try_from(content.len()).is_ok_and(|length| length > LONGEST_INPUT) {
        let details = format!("standard input has more than {LONGEST_INPUT} bytes");
        return Err(Error::new(Code::InvalidConfiguration, "the configuration is too large", details));
    }
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
