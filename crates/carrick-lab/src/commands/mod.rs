//! The commands that people give.

mod attach;
pub mod bench_failover;
pub mod bench_pods;
pub mod bench_scale;
pub mod demo;
mod prove;
mod table;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use carrick_lab::Topology;
use carrick_lab::daemon::{LabDaemon, Request};
use carrick_lab::{drawing, state, topology};
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
    say(&format!("\n{}\n", attach::how_to_look_around(name, &daemon.description()?)))?;
    Ok(ExitCode::SUCCESS)
}

/// `carrick-lab down`.
///
/// # Errors
/// No lab runs under this name.
pub fn down(name: Option<&str>) -> Result<ExitCode> {
    let running = state::clear()?;
    if name.is_none() && running.is_empty() {
        say("no lab is running
")?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = attach::choose(name, &running)?;
    let holder = state::holder(&name)?;
    kill(Pid::from_raw(i32::try_from(holder)?), Signal::SIGTERM).context("tell the lab to end")?;
    state::await_end(&name)?;
    state::clear()?;
    say(&format!(
        "{name} is gone
"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// `carrick-lab exec`; gives the command's own exit code.
///
/// # Errors
/// There is nothing of this name, or the command cannot be started.
pub fn exec(lab: Option<&str>, inside: &str, command_line: &[String]) -> Result<ExitCode> {
    let (_, description) = attach::attach(lab)?;
    let (program, arguments) = command_line.split_first().context("which command?")?;
    let mut child = description.namespaces(inside)?.spawn(Command::new(program).args(arguments))?;
    let status = child.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
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

/// `carrick-lab draw`: the topology of a file, or the demo's, as an SVG on standard output.
///
/// # Errors
/// The file is no topology.
pub fn draw(file: Option<&Path>) -> Result<ExitCode> {
    let topology = match file {
        Some(file) => Topology::read(file)?,
        None => Topology::parse(topology::DEMO)?,
    };
    say(&drawing::draw(&topology)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; whoever reads may have gone.
fn say(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}
