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
    /// 1: the plugin does not support the configuration's version.
    IncompatibleVersion,
    /// 2: the configuration has a field that the plugin does not support.
    UnsupportedField,
    /// 3: the container does not exist. There is nothing to clean up.
    UnknownContainer,
    /// 4: an environment variable is missing or invalid. The details name it.
    InvalidEnvironment,
    /// 5: reading or writing failed.
    InputOutput,
    /// 6: the configuration cannot be decoded.
    Undecodable,
    /// 7: the configuration is invalid.
    InvalidConfiguration,
    /// 11: the node is not ready for pods yet. The runtime should try again later.
    TryAgainLater,
    /// 50: STATUS only: the plugin cannot attach pods.
    NotAvailable,
    /// 51: STATUS only: the plugin cannot attach pods, and attached pods may have limited connectivity.
    LimitedConnectivity,
    /// 100: the kernel rejected a request. The operation was rolled back.
    Kernel,
    /// 101: this container already has this interface.
    AttachedAlready,
    /// 102: every address of the node's pod CIDRs is in use.
    AddressesExhausted,
    /// 103: CHECK only: the pod is not attached as ADD configured it.
    NotAsAdded,
    /// 104: a file in the run directory is damaged.
    DamagedState,
    /// 105: a requested address or host port belongs to another pod.
    Conflict,
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
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::InputOutput => 5,
            Self::Undecodable => 6,
            Self::InvalidConfiguration => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::Kernel => 100,
            Self::AttachedAlready => 101,
            Self::AddressesExhausted => 102,
            Self::NotAsAdded => 103,
            Self::DamagedState => 104,
            Self::Conflict => 105,
        }
    }
}
