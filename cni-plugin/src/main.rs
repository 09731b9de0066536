//! The program `carrick-cni`: reads the environment and standard input, writes standard output, and returns an exit code.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use carrick_cni::protocol::Environment;
use carrick_cni::{Answer, Outcome, answer_panics, run, run_loopback, view};
use carrick_pods::installation::LOOPBACK_TYPE;

/// In a process this short, the allocator of musl maps and unmaps pages for almost every request.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    answer_panics();
    // Container runtimes pass no arguments.
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let program = std::env::args_os().next();
    let is_loopback =
        program.as_deref().and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(LOOPBACK_TYPE));
    let answer = if is_loopback {
        run_loopback(&Environment::from_process(), io::stdin().lock())
    } else if arguments.is_empty() {
        run(&Environment::from_process(), io::stdin().lock())
    } else {
        view::run(&arguments, SystemTime::now())
    };
    finish(answer)
}

fn finish(answer: Answer) -> ExitCode {
    let written = answer.output.map_or(Ok(()), |output| writeln!(io::stdout().lock(), "{output}"));
    match (written, answer.outcome) {
        (Ok(()), Outcome::Success) => ExitCode::SUCCESS,
        (Err(_), _) | (_, Outcome::Failure) => ExitCode::FAILURE,
    }
}
