//! The binary `carrickctl`.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use carrickctl::cli::Cli;
use carrickctl::exit::Exit;
use carrickctl::failure::Failure;
use carrickctl::output::{Format, Rendered, Terminal};
use clap::Parser as _;

/// How long `--watch` rests.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Moves the cursor to the upper left corner and clears what is behind it (ECMA-48 §8.3.21, §8.3.39).
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Output(error.to_string())).into(),
    };
    let exit = runtime.block_on(async {
        if cli.output.watch {
            tokio::select! {
                exit = watch(&cli) => exit,
                _ = tokio::signal::ctrl_c() => Exit::Healthy,
            }
        } else {
            once(&cli).await
        }
    });
    exit.into()
}

async fn once(cli: &Cli) -> Exit {
    match cli.run(Terminal::of_stdout(&cli.output)).await {
        Ok(shown) => print(&shown),
        Err(failure) => fail(&failure),
    }
}

/// Goes on through failures that may pass; a wrong command line stays wrong.
async fn watch(cli: &Cli) -> Exit {
    loop {
        let terminal = Terminal::of_stdout(&cli.output);
        let shown = cli.run(terminal).await;
        if terminal.width.is_some() {
            print(&Rendered { text: CLEAR.to_owned(), exit: Exit::Healthy });
        }
        match shown {
            Ok(shown) => {
                print(&shown);
            }
            Err(failure) if failure.exit() == Exit::Usage => return fail(&failure),
            Err(failure) => {
                fail(&failure);
            }
        }
        if cli.output.output == Format::Yaml {
            print(&Rendered { text: "---\n".to_owned(), exit: Exit::Healthy });
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// Whoever closes the pipe early has seen enough.
fn print(shown: &Rendered) -> Exit {
    // What is in colour was decided before.
    let mut stdout = anstream::AutoStream::always(std::io::stdout()).lock();
    let _closed = stdout.write_all(shown.text.as_bytes()).and_then(|()| stdout.flush());
    shown.exit
}

fn fail(failure: &Failure) -> Exit {
    let _closed = writeln!(anstream::stderr().lock(), "carrickctl: {failure}");
    failure.exit()
}
