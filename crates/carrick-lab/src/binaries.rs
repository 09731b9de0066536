//! Carrick's own programs, built by cargo.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// The environment variable that names the directory of the programs.
pub const DIRECTORY_VARIABLE: &str = "CARRICK_BIN_DIR";

/// The path of one of Carrick's programs: in `$CARRICK_BIN_DIR`, or else beside this program (for a test: in the parent directory).
///
/// # Errors
/// The program is not built; the error says how to build it.
pub fn find(program: &str) -> Result<PathBuf> {
    let directories = match std::env::var_os(DIRECTORY_VARIABLE) {
        Some(directory) => vec![PathBuf::from(directory)],
        None => {
            let this_program = std::env::current_exe().context("find this program")?;
            this_program.ancestors().skip(1).take(2).map(PathBuf::from).collect()
        }
    };
    let candidates: Vec<PathBuf> = directories.iter().map(|directory| directory.join(program)).collect();
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "{program} is not in {}: build it with `cargo build -p {}`, or name its directory in ${DIRECTORY_VARIABLE}",
            directories.first().map(|path| path.display().to_string()).unwrap_or_default(),
            package(program),
        ),
    }
}

fn package(program: &str) -> &str {
    match program {
        "carrick" => "carrick-agent",
        other => other,
    }
}
