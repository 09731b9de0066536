//! Errors, as the runtime sees them.

use carrick_pods::cni_version::Version;
use serde_json::{Value, json};

/// A failed operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub struct Error {
    /// The kind of failure.
    pub code: Code,
    /// What failed, in a few words (`msg`).
    pub message: String,
    /// Which object failed and why, and in some cases what to do (`details`).
    pub details: String,
}

/// Kinds of failures. Codes below 100 are those of the CNI specification 1.1.0 (section 5, "Error"). Codes from 100 on are the plugin's.
/// `docs/cni.md` lists them for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The plugin does not support the configuration's version.
    IncompatibleVersion = 1,
    /// The configuration has a field that the plugin does not support.
    UnsupportedField = 2,
    /// The container does not exist. There is nothing to clean up.
    UnknownContainer = 3,
    /// An environment variable is missing or invalid. The details name it.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    InputOutput = 5,
    /// The configuration cannot be decoded.
    Undecodable = 6,
    /// The configuration is invalid.
    InvalidConfiguration = 7,
    /// The node is not ready for pods yet. The runtime should try again later.
    TryAgainLater = 11,
    /// STATUS only: the plugin cannot attach pods.
    NotAvailable = 50,
    /// STATUS only: the plugin cannot attach pods, and attached pods may have limited connectivity.
    LimitedConnectivity = 51,
    /// The kernel rejected a request. The operation was rolled back.
    Kernel = 100,
    /// This container already has this interface.
    AttachedAlready = 101,
    /// Every address of the node's pod CIDRs is in use.
    AddressesExhausted = 102,
    /// CHECK only: the pod is not attached as ADD configured it.
    NotAsAdded = 103,
    /// A file in the run directory is damaged.
    DamagedState = 104,
    /// A requested address or host port belongs to another pod.
    Conflict = 105,
    /// The plugin has a bug and panicked. The next DEL or GC removes what the call left.
    Panicked = 106,
}

impl Error {
    /// An error with its message and details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: details.into() }
    }

    /// The error as JSON for standard output (CNI specification 1.1.0, section 5, "Error").
    #[must_use]
    pub fn to_json(&self, version: Version) -> Value {
        json!({
            "cniVersion": version,
            "code": self.code.number(),
            "msg": self.message,
            "details": self.details,
        })
    }
}

impl Code {
    /// The number of the code.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_lists_every_code() {
        let (_, table) = include_str!("../../../docs/cni.md").split_once("## Errors").unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
        let variants = include_str!("error.rs").lines().filter_map(|line| line.strip_suffix(',')?.split_once(" = "));
        let variants = variants.filter_map(|(_, number)| number.parse().ok());
        let (listed, defined): (Vec<u32>, Vec<u32>) = (rows.collect(), variants.collect());
        assert_eq!(listed, defined);
        assert!(!defined.is_empty());
    }
}
