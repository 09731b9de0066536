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

/// The time between two updates of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Moves the cursor to the upper left corner and clears the screen after it (ECMA-48 §8.3.21, §8.3.39).
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
    match cli.run(Terminal::of_stdout(cli.output.no_color)).await {
        Ok(rendered) => print(&rendered),
        Err(failure) => fail(&failure),
    }
}

/// Repeats the command until it is interrupted. A temporary failure does not end the loop; a wrong command line does.
async fn watch(cli: &Cli) -> Exit {
    loop {
        let terminal = Terminal::of_stdout(cli.output.no_color);
        let rendered = cli.run(terminal).await;
        if terminal.width.is_some() {
            print(&Rendered { text: CLEAR.to_owned(), exit: Exit::Healthy });
        }
        match rendered {
            Ok(rendered) => {
                print(&rendered);
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

/// Writes an answer. A reader that closes the pipe early is no error.
fn print(rendered: &Rendered) -> Exit {
    // `Terminal` already decided about colours.
    let mut stdout = anstream::AutoStream::always(std::io::stdout()).lock();
    let _closed = stdout.write_all(rendered.text.as_bytes()).and_then(|()| stdout.flush());
    rendered.exit
}

fn fail(failure: &Failure) -> Exit {
    let _closed = writeln!(anstream::stderr().lock(), "carrickctl: {failure}");
    failure.exit()
}
