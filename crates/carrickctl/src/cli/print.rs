//! The version, the completions and the manual page.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Rendered;

fn rendered(text: impl Into<String>) -> Rendered {
    Rendered { text: text.into(), exit: Exit::Healthy }
}

pub(super) fn version() -> Rendered {
    rendered(format!("carrickctl {}\n", env!("CARGO_PKG_VERSION")))
}

pub(super) fn completions(mut program: Command, shell: Shell) -> Rendered {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut program, "carrickctl", &mut text);
    rendered(String::from_utf8_lossy(&text))
}

/// The manual page of the program, or one page for each command in a directory.
pub(super) fn manual(program: Command, directory: Option<&Path>) -> Result<Rendered, Failure> {
    let Some(directory) = directory else {
        let mut text = Vec::new();
        let written = clap_mangen::Man::new(program).render(&mut text);
        written.map_err(|error| Failure::Output(error.to_string()))?;
        return Ok(rendered(String::from_utf8_lossy(&text)));
    };
    let refused = |error| Failure::File { path: directory.to_owned(), error };
    std::fs::create_dir_all(directory).map_err(refused)?;
    clap_mangen::generate_to(program, directory).map_err(refused)?;
    Ok(rendered(String::new()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap_complete::Shell;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_completions_and_a_manual_page() {
        Cli::command().debug_assert();
        let completions = completions(Cli::command(), Shell::Bash).text;
        let directory = tempfile::tempdir().unwrap();
        manual(Cli::command(), Some(directory.path())).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(completions.contains(name), "{name}");
            assert!(directory.path().join(format!("carrickctl-{name}.1")).is_file(), "{name}");
        }
        assert!(manual(Cli::command(), None).unwrap().text.contains("carrickctl"));
    }
}
