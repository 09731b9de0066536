//! The binary `carrick`: the agent, its clean-up, and the userspace WireGuard data path.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use carrick_agent::cli::{
    AgentOptions, AwaitDaemonsetOptions, CleanupOptions, Cli, Command, InstallCniOptions, PageOptions,
    UserspaceWireguardOptions,
};
use carrick_agent::exit::Exit;
use carrick_agent::page::{self, PageError};
use carrick_agent::userspace_wireguard::Nodes;
use carrick_agent::{agent, cleanup, connectivity, daemonset, logging, userspace_wireguard};
use carrick_pods::installation::{install_binary, install_loopback, own_binary};
use clap::Parser as _;

/// More threads than this do not make one WireGuard device faster.
const MAXIMUM_THREADS: usize = 4;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::start(cli.log.log_format, &cli.log.log_level) {
        return fail(Exit::Configuration, &format!("--log-level: {error}"));
    }
    let exit = match cli.command {
        Command::Agent(options) => run_agent(*options),
        Command::Cleanup(options) => clean_up(&options),
        Command::InstallCni(options) => install_cni(&options),
        Command::AwaitDaemonset(options) => await_daemonset(&options),
        Command::ConnectivityServer(options) => serve_connectivity(options.port),
        Command::ConnectivityClient(options) => ask_servers(&options.targets),
        Command::Pause => pause(),
        Command::Page(options) => print_page(&options),
        Command::UserspaceWireguard(options) => carry(options),
        Command::Version => version(),
    };
    exit.into()
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn version() -> Exit {
    println!("carrick {}", env!("CARGO_PKG_VERSION"));
    Exit::Success
}

fn run_agent(options: AgentOptions) -> Exit {
    let Some(runtime) = runtime() else { return Exit::Failure };
    match runtime.block_on(agent::run(options)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!(event = "agent_failed", "{error}");
            error.exit()
        }
    }
}

fn clean_up(options: &CleanupOptions) -> Exit {
    let Some(runtime) = runtime() else { return Exit::Failure };
    let cleanup = runtime.block_on(cleanup::run(options));
    for object in &cleanup.removed {
        tracing::info!(event = "removed", object);
    }
    for failure in &cleanup.failures {
        tracing::error!(event = "not_removed", "{failure}");
    }
    if !cleanup.pods.is_empty() {
        tracing::warn!(
            event = "pods_without_network",
            pods = cleanup.pods.join(","),
            "these pods have no network any more: delete them, then run the command again, which removes the plugin"
        );
    }
    tracing::info!(event = "cleanup_ended", removed = cleanup.removed.len(), failures = cleanup.failures.len());
    cleanup.exit()
}

fn await_daemonset(options: &AwaitDaemonsetOptions) -> Exit {
    let Some(runtime) = runtime() else { return Exit::Failure };
    match runtime.block_on(daemonset::wait(options)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!(event = "daemonset_not_ready", "{error}");
            error.exit()
        }
    }
}

fn serve_connectivity(port: u16) -> Exit {
    // The first process of a container gets only signals that it handles.
    let ended = std::thread::spawn(pause);
    std::thread::spawn(move || match connectivity::serve(port) {
        Ok(never) => match never {},
        Err(error) => {
            tracing::error!(event = "connectivity_server_failed", %error);
            std::process::exit(Exit::Failure.code().into());
        }
    });
    ended.join().unwrap_or(Exit::Failure)
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn ask_servers(targets: &[connectivity::Target]) -> Exit {
    match serde_json::to_string(&connectivity::ask(targets)) {
        Ok(outcomes) => {
            println!("{outcomes}");
            Exit::Success
        }
        Err(error) => {
            tracing::error!(event = "connectivity_client_failed", %error);
            Exit::Failure
        }
    }
}

fn pause() -> Exit {
    let Some(runtime) = runtime() else { return Exit::Failure };
    match runtime.block_on(async { userspace_wireguard::wait_for_termination().await }) {
        Ok(_signal) => Exit::Success,
        Err(error) => {
            tracing::error!(event = "runtime_failed", %error);
            Exit::Failure
        }
    }
}

/// A runtime on this thread. A failure is logged.
fn runtime() -> Option<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .inspect_err(|error| tracing::error!(event = "runtime_failed", %error))
        .ok()
}

fn install_cni(options: &InstallCniOptions) -> Exit {
    let directory = &options.cni_bin_dir;
    let installed = own_binary().and_then(|binary| {
        let written = install_binary(&binary, directory)?;
        Ok((written, install_loopback(directory)?))
    });
    match installed {
        Ok((written, loopback)) => {
            tracing::info!(event = "cni_plugin_installed", directory = %directory.display(), ?written, ?loopback);
            Exit::Success
        }
        Err(error) => {
            tracing::error!(event = "cni_plugin_not_installed", "{error}");
            Exit::Failure
        }
    }
}

fn print_page(options: &PageOptions) -> Exit {
    let fetch = || {
        let answer = page::fetch(&options.run_dir.join(agent::SOCKET), &options.page)?;
        if options.include { Ok(answer) } else { page::body(answer) }
    };
    match fetch() {
        Ok(text) => match std::io::stdout().write_all(&text) {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Failure,
        },
        Err(error) => page_failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the text is for the caller, not for the log")]
fn page_failed(error: &PageError) -> Exit {
    eprintln!("{error}");
    error.exit()
}

fn carry(options: UserspaceWireguardOptions) -> Exit {
    if options.new_session {
        // It fails only for the leader of a process group, which has left its parent's group already.
        let _ = nix::unistd::setsid();
    }
    let nodes = if options.only_without_kernel { Nodes::WithoutKernelWireGuard } else { Nodes::All };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads.min(MAXIMUM_THREADS)).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(event = "runtime_failed", %error);
            return Exit::Failure;
        }
    };
    match runtime.block_on(userspace_wireguard::run(options.interface, nodes)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!(event = "userspace_wireguard_failed", "{error}");
            error.exit()
        }
    }
}

#[expect(clippy::print_stderr, reason = "logging is not there yet")]
fn fail(exit: Exit, message: &str) -> ExitCode {
    eprintln!("carrick: {message}");
    exit.into()
}
