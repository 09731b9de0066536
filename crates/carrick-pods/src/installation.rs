//! Installing the plugin: its binary, and the CNI network configuration that names it.
//!
//! Container runtimes watch the configuration directory and use the first configuration in alphabetical order. The configuration is
//! therefore replaced in one step, and only if it differs. Other files are never touched. Service meshes add their own plugins to
//! Carrick's plugin list; these plugins keep their places.

mod configuration_list;

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement, remove_file_if_present};

pub use self::configuration_list::PLUGIN_TYPE;
use self::configuration_list::configuration_list;
use crate::written::Written;

/// The file name of the configuration.
pub const CONFIGURATION_FILE: &str = "10-carrick.conflist";
/// The type of the plugin that sets the loopback device up, and the name of its program.
pub const LOOPBACK_TYPE: &str = "loopback";
/// The environment variable that holds the path of the binary to install.
pub const BINARY_VARIABLE: &str = "CARRICK_CNI_BINARY";

/// The configuration holds no secret, but security benchmarks require that others cannot read it.
const CONFIGURATION: Replacement = Replacement { mode: 0o600, durability: Durability::PowerFailure };
const BINARY: Replacement = Replacement { mode: 0o755, durability: Durability::PowerFailure };

/// What to install, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The runtime's configuration directory, such as `/etc/cni/net.d`.
    pub configuration_directory: PathBuf,
    /// The runtime's plugin directory, such as `/opt/cni/bin`.
    pub binary_directory: PathBuf,
    /// The run directory for the plugin: an absolute path on the host.
    pub run_directory: PathBuf,
    /// The binary to copy.
    pub binary: PathBuf,
}

/// What an installation has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// The binary.
    pub binary: Written,
    /// The configuration.
    pub configuration: Written,
}

/// A file could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct InstallError {
    /// The file.
    pub path: PathBuf,
    /// The error of the system.
    #[source]
    pub source: io::Error,
}

/// The binary of the plugin that belongs to this process: the value of `CARRICK_CNI_BINARY`, or the file `carrick-cni` beside the
/// executable of this process.
///
/// # Errors
///
/// The path of the executable is not known.
pub fn own_binary() -> Result<PathBuf, InstallError> {
    if let Some(path) = env::var_os(BINARY_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let own = env::current_exe().map_err(at(Path::new("/proc/self/exe")))?;
    Ok(own.with_file_name(PLUGIN_TYPE))
}

/// Copies the binary to `directory` if the file there differs. Creates the directory if it does not exist. Needs no write access if the
/// binary is already there. Runtimes do not use the binary before a configuration names it.
///
/// # Errors
///
/// A file could not be read or written.
pub fn install_binary(binary: &Path, directory: &Path) -> Result<Written, InstallError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let wanted = fs::read(binary).map_err(at(binary))?;
    let path = directory.join(PLUGIN_TYPE);
    if read(&path)?.is_some_and(|current| current == wanted) {
        return Ok(Written::Unchanged);
    }
    BINARY.write(&path, &wanted).map_err(at(&path))?;
    Ok(Written::Changed)
}

/// Makes `loopback` in `directory` a link to the installed binary, which then acts as this plugin. What is there already stays.
///
/// # Errors
///
/// The link could not be made.
pub fn install_loopback(directory: &Path) -> Result<Written, InstallError> {
    let path = directory.join(LOOPBACK_TYPE);
    match symlink(PLUGIN_TYPE, &path) {
        Ok(()) => Ok(Written::Changed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Written::Unchanged),
        Err(error) => Err(at(&path)(error)),
    }
}

/// Removes the configuration. Runtimes then attach no more pods with the plugin.
///
/// # Errors
///
/// The file could not be removed.
pub fn remove_configuration(directory: &Path) -> Result<(), InstallError> {
    remove(&directory.join(CONFIGURATION_FILE))
}

/// Removes the binary, and the link that [`install_loopback`] made. Runtimes need the binary to detach pods.
///
/// # Errors
///
/// A file could not be removed.
pub fn remove_binary(directory: &Path) -> Result<(), InstallError> {
    let loopback = directory.join(LOOPBACK_TYPE);
    if fs::read_link(&loopback).is_ok_and(|target| target == Path::new(PLUGIN_TYPE)) {
        remove(&loopback)?;
    }
    remove(&directory.join(PLUGIN_TYPE))
}

impl Installation {
    /// Installs the binary, then the configuration. Creates the directories if they do not exist. Replaces only files that differ.
    ///
    /// # Errors
    ///
    /// A file could not be read or written.
    pub fn install(&self) -> Result<Installed, InstallError> {
        let binary = install_binary(&self.binary, &self.binary_directory)?;
        fs::create_dir_all(&self.configuration_directory).map_err(at(&self.configuration_directory))?;
        Ok(Installed { binary, configuration: self.install_configuration()? })
    }

    /// Removes the configuration, then the binary. Files that do not exist are no error.
    ///
    /// # Errors
    ///
    /// A file could not be removed. The other file is removed nevertheless.
    pub fn remove(&self) -> Result<(), InstallError> {
        let configuration = remove_configuration(&self.configuration_directory);
        let binary = remove_binary(&self.binary_directory);
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
