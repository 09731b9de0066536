//! The lab's command line.
#![forbid(unsafe_code)]

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use carrick_lab::{daemon, init, logging, namespace, supervisor};
use clap::{Parser, Subcommand};

/// Clouds in network namespaces on one machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The name of the lab. It is required when several labs run.
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Brings up a lab from a topology file and leaves it running.
    Up {
        /// The topology file.
        file: PathBuf,
    },
    /// Takes a running lab down.
    Down,
    /// Runs a command on a node, in a pod, on a location's router, on a device, or in the internet.
    Exec {
        /// The name of the node, pod, location or device, or `internet`.
        inside: String,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Runs carrickctl on the agents of a running lab: `carrickctl status`.
    Carrickctl {
        /// The arguments of carrickctl.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Shows a running lab.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Brings up clouds, tests that all pods and nodes reach all pods, and takes the clouds down.
    Demo(commands::demo::Options),
    /// Draws a topology without bringing it up: writes an SVG to standard output.
    Draw {
        /// The topology file; the demo's topology by default.
        file: Option<PathBuf>,
    },
    /// Makes namespaces and waits for their first process (the lab starts this itself).
    #[command(hide = true)]
    Supervise { setup: String },
    /// Runs as the first process of namespaces (the lab starts this itself).
    #[command(hide = true)]
    Init { setup: String },
    /// Makes a network namespace and binds it to a path (the lab starts this itself).
    #[command(hide = true)]
    MakeNetwork { path: PathBuf },
    /// Holds a lab (the lab starts this itself).
    #[command(hide = true)]
    Daemon { lab: String, topology: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start();
    run(arguments).unwrap_or_else(|error| {
        tracing::error!(event = "failed", "{error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let name = arguments.name.as_deref();
    match arguments.command {
        Action::Up { file } => commands::up(name.unwrap_or("lab"), &file),
        Action::Down => commands::down(name),
        Action::Exec { inside, command } => commands::exec(name, &inside, &command),
        Action::Carrickctl { arguments } => commands::carrickctl(name, &arguments),
        Action::Status { json } => commands::status(name, json),
        Action::Demo(options) => commands::demo::demo(name, &options),
        Action::Draw { file } => commands::draw(file.as_deref()),
        Action::Supervise { setup } => supervisor::supervise(&setup).map(|()| ExitCode::SUCCESS),
        Action::Init { setup } => init::init(&setup).map(|()| ExitCode::SUCCESS),
        Action::MakeNetwork { path } => namespace::make_network(&path).map(|()| ExitCode::SUCCESS),
        Action::Daemon { lab, topology } => daemon::run(&lab, &topology).map(|()| ExitCode::SUCCESS),
    }
}
