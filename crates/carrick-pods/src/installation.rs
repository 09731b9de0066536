//! Putting the plugin where container runtimes look: its binary, and the configuration that names it.
//!
//! Runtimes take the first configuration by name and watch its directory, so a configuration appears or
//! changes in one step, and only when it is different. Other files there are never touched. Service meshes
//! append plugins of their own to our list; these stay, in their places.

mod configuration_list;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement, remove_file_if_present};

use crate::node_data::Written;

pub use configuration_list::configuration_list;

/// File name of the configuration.
pub const CONFIGURATION_FILE: &str = "10-carrick.conflist";
/// File name of the binary, which is also the plugin's type in configurations.
pub const BINARY_FILE: &str = "carrick-cni";
/// Environment variable that says where the binary is to be taken from.
pub const BINARY_VARIABLE: &str = "CARRICK_CNI_BINARY";

/// The configuration holds no secret, but security benchmarks require that others cannot read it.
const CONFIGURATION: Replacement = Replacement { mode: 0o600, durability: Durability::PowerFailure };
const BINARY: Replacement = Replacement { mode: 0o755, durability: Durability::PowerFailure };

/// Where to install from and to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The runtime's configuration directory, such as `/etc/cni/net.d`.
    pub configuration_directory: PathBuf,
    /// The runtime's plugin directory, such as `/opt/cni/bin`.
    pub binary_directory: PathBuf,
    /// The run directory that the plugin is to use, an absolute path as the runtime sees it.
    pub run_directory: PathBuf,
    /// The binary to copy.
    pub binary: PathBuf,
}

/// What an installation had to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// The binary.
    pub binary: Written,
    /// The configuration.
    pub configuration: Written,
}

/// A file that could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct InstallError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The binary that belongs to this process: `CARRICK_CNI_BINARY`, or `carrick-cni` beside this process's own.
///
/// # Errors
///
/// The process does not know its own binary.
pub fn own_binary() -> Result<PathBuf, InstallError> {
    if let Some(path) = env::var_os(BINARY_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let own = env::current_exe().map_err(at(Path::new("/proc/self/exe")))?;
    Ok(own.with_file_name(BINARY_FILE))
}

/// Copies the binary alone to `directory`, where it changes nothing for runtimes as long as no configuration names it. Makes the
/// directory where it is missing; a binary that is there already needs no right to write.
///
/// # Errors
///
/// A file could not be read or written.
pub fn install_binary(binary: &Path, directory: &Path) -> Result<Written, InstallError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let wanted = fs::read(binary).map_err(at(binary))?;
    let path = directory.join(BINARY_FILE);
    if read(&path)?.is_some_and(|current| current == wanted) {
        return Ok(Written::Unchanged);
    }
    BINARY.write(&path, &wanted).map_err(at(&path))?;
    Ok(Written::Changed)
}

impl Installation {
    /// Installs the binary, then the configuration that makes runtimes use it. Makes the directories
    /// where they are missing, writes only what differs, and replaces files whole.
    ///
    /// # Errors
    ///
    /// A file could not be read or written.
    pub fn install(&self) -> Result<Installed, InstallError> {
        let binary = install_binary(&self.binary, &self.binary_directory)?;
        fs::create_dir_all(&self.configuration_directory).map_err(at(&self.configuration_directory))?;
        Ok(Installed { binary, configuration: self.install_configuration()? })
    }

    /// Removes the configuration, then the binary. What is gone already is fine.
    ///
    /// # Errors
    ///
    /// A file could not be removed; the other one is tried nevertheless.
    pub fn remove(&self) -> Result<(), InstallError> {
        let configuration = remove(&self.configuration_directory.join(CONFIGURATION_FILE));
        let binary = remove(&self.binary_directory.join(BINARY_FILE));
        configuration.and(binary)
    }

    fn install_configuration(&self) -> Result<Written, InstallError> {
        let path = self.configuration_directory.join(CONFIGURATION_FILE);
        let current = read(&path)?.and_then(|content| serde_json::from_slice(&content).ok());
        let wanted = configuration_list(current.as_ref(), &self.run_directory);
        if current.is_some_and(|current| current == wanted) {
            return Ok(Written::Unchanged);
        }
        CONFIGURATION.write(&path, format!("{wanted:#}\n").as_bytes()).map_err(at(&path))?;
        Ok(Written::Changed)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, InstallError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), InstallError> {
    remove_file_if_present(path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError { path, source }
}

#[cfg(test)]
mod tests;
