//! The CNI plugin's process: the environment and standard input in, standard output and an exit code out.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use carrick_cni::protocol::Environment;
use carrick_cni::{Answer, Outcome, run, view};

/// musl's own allocator maps and unmaps pages for almost every request of a process that lives so shortly.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    // Runtimes pass no arguments; a person does.
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let answer = if arguments.is_empty() {
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
