//! The commands.

mod attach;
pub mod demo;
mod guide;
mod prove;
mod table;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use carrick_lab::Topology;
use carrick_lab::daemon::{LabDaemon, Request};
use carrick_lab::{binaries, drawing, state, topology};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `carrick-lab up`.
///
/// # Errors
/// The lab does not come up.
pub fn up(name: &str, file: &Path) -> Result<ExitCode> {
    let mut daemon = LabDaemon::up(name, &Topology::read(file)?)?;
    daemon.request(Request::Stay)?;
    status(Some(name), false)?;
    say(&format!("\n{}\n", guide::guide(name, &daemon.description()?)))?;
    Ok(ExitCode::SUCCESS)
}

/// `carrick-lab down`.
///
/// # Errors
/// No lab runs under this name.
pub fn down(name: Option<&str>) -> Result<ExitCode> {
    let running = state::clear()?;
    if name.is_none() && running.is_empty() {
        say("no lab is running\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = attach::choose(name, &running)?;
    let holder = state::holder(&name)?;
    kill(Pid::from_raw(i32::try_from(holder)?), Signal::SIGTERM).context("send a signal to the lab")?;
    state::await_end(&name)?;
    state::clear()?;
    say(&format!("the lab {name} is down\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// `carrick-lab exec`. Returns the command's own exit status.
///
/// # Errors
/// The lab has nothing of this name, or the command cannot be started.
pub fn exec(lab: Option<&str>, inside: &str, command_line: &[String]) -> Result<ExitCode> {
    let (_, description) = attach::attach(lab)?;
    let (program, arguments) = command_line.split_first().context("a command is required")?;
    let mut child = description.namespaces(inside)?.spawn(Command::new(program).args(arguments))?;
    Ok(exit_code(child.wait()?))
}

/// `carrick-lab carrickctl`: runs carrickctl on the agents of a lab. Returns carrickctl's own exit status.
///
/// # Errors
/// No lab runs under this name, or carrickctl is not built.
pub fn carrickctl(lab: Option<&str>, arguments: &[String]) -> Result<ExitCode> {
    let (_, description) = attach::attach(lab)?;
    let sockets = description.agent_sockets().flat_map(|socket| [OsString::from("--socket"), socket.into()]);
    let mut command = Command::new(binaries::find("carrickctl")?);
    let status = command.args(arguments).args(sockets).status().context("start carrickctl")?;
    Ok(exit_code(status))
}

/// `carrick-lab status`.
///
/// # Errors
/// No lab runs under this name.
pub fn status(lab: Option<&str>, json: bool) -> Result<ExitCode> {
    let (name, description) = attach::attach(lab)?;
    if json {
        say(&(serde_json::to_string_pretty(&description)? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("lab {name}\n{}", table::nodes(&description)))?;
    Ok(ExitCode::SUCCESS)
}

/// `carrick-lab draw`: writes the topology of a file, or of the demo, as an SVG to standard output.
///
/// # Errors
/// The file is not a valid topology.
pub fn draw(file: Option<&Path>) -> Result<ExitCode> {
    let topology = match file {
        Some(file) => Topology::read(file)?,
        None => Topology::parse(topology::DEMO)?,
    };
    say(&drawing::draw(&topology)?)?;
    Ok(ExitCode::SUCCESS)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Writes to standard output. The reader may have closed it.
fn say(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}
