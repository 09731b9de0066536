//! Failures as the runtime gets to see them.

use carrick_pods::cni_version::Version;
use serde_json::{Value, json};

/// A failed operation, as it goes to the runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// What failed, in a few words.
    pub message: String,
    /// On which object, and why; where it helps, what to do about it.
    pub details: String,
}

/// Kinds of failures. Below 100 they are the specification's (1.1.0, "Error"), from 100 on our own.
/// `docs/cni.md` lists them for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 1: the plugin does not speak the configuration's version.
    IncompatibleVersion,
    /// 2: the configuration asks for something that the plugin does not do.
    UnsupportedField,
    /// 3: the container does not exist; nothing is left to clean up.
    UnknownContainer,
    /// 4: an environment variable is missing or wrong; the details name it.
    InvalidEnvironment,
    /// 5: reading or writing failed.
    InputOutput,
    /// 6: the configuration is not the JSON that it should be.
    Undecodable,
    /// 7: the configuration is well-formed and wrong.
    InvalidConfiguration,
    /// 11: the node is not ready for pods yet; the same call will work later.
    TryAgainLater,
    /// 50: STATUS only: the plugin cannot attach pods.
    NotAvailable,
    /// 51: STATUS only: the same, and pods that are attached already may have lost connections.
    LimitedConnectivity,
    /// 100: the kernel refused a change; what had been done was undone.
    Kernel,
    /// 101: this container has this interface already.
    AttachedAlready,
    /// 102: every address of the node's pod CIDRs is in use.
    AddressesExhausted,
    /// 103: CHECK only: something is missing that ADD made.
    NotAsAdded,
    /// 104: a file under the run directory holds something else than Carrick wrote.
    DamagedState,
    /// 105: a requested address or host port belongs to another pod.
    Conflict,
}

impl Error {
    /// A failure of a kind: in a few words, and in detail.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: details.into() }
    }

    /// As it goes to standard output.
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
    /// The number on the wire.
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

impl From<carrick_netlink::Error> for Error {
    fn from(error: carrick_netlink::Error) -> Self {
        Self::new(Code::Kernel, "the kernel refused", error.to_string())
    }
}
