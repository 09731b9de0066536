//! Versions of the specification.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Code, Command, Error};

/// A version of the CNI specification that the plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.1: the first in which a result names its interfaces; no CHECK yet.
    V0_3_1,
    /// 0.4.0: the first with CHECK.
    V0_4_0,
    /// 1.0.0: addresses no longer name their family.
    V1_0_0,
    /// 1.1.0: the first with STATUS and GC, several versions in one configuration, and MTUs in results.
    V1_1_0,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; 4] = [Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
    /// The newest.
    pub const NEWEST: Version = Version::V1_1_0;

    /// The version that a configuration asks for. One that names none means 0.1.0.
    ///
    /// # Errors
    ///
    /// The plugin does not speak it ([`Code::IncompatibleVersion`]).
    pub fn negotiate(requested: Option<&str>) -> Result<Self, Error> {
        let requested = requested.unwrap_or("0.1.0");
        Self::ALL.into_iter().find(|version| version.as_str() == requested).ok_or_else(|| {
            let spoken = Self::ALL.map(Self::as_str).join(", ");
            Error::new(
                Code::IncompatibleVersion,
                "incompatible CNI version",
                format!("the configuration's cniVersion is {requested:?}; carrick-cni speaks {spoken}"),
            )
        })
    }

    /// The answer to the command VERSION on this input, which need not be a configuration.
    pub(crate) fn report(input: &[u8]) -> Value {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Question {
            cni_version: String,
        }
        let asked = serde_json::from_slice(input).map(|question: Question| question.cni_version);
        json!({
            "cniVersion": asked.unwrap_or_else(|_| Self::NEWEST.to_string()),
            "supportedVersions": Self::ALL,
        })
    }

    /// Refuses commands that this version does not have.
    ///
    /// # Errors
    ///
    /// The configuration's version is older than the command ([`Code::IncompatibleVersion`]).
    pub fn require(self, command: Command) -> Result<(), Error> {
        let first = match command {
            Command::Add | Command::Del | Command::Version => Self::V0_3_1,
            Command::Check => Self::V0_4_0,
            Command::Gc | Command::Status => Self::V1_1_0,
        };
        if self >= first {
            return Ok(());
        }
        let details = format!("the configuration's cniVersion is {self}; {command} came with {first}");
        Err(Error::new(Code::IncompatibleVersion, "incompatible CNI version", details))
    }

    /// As configurations spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_four_versions_and_refuses_others() {
        assert_eq!(Version::negotiate(Some("1.0.0")).unwrap(), Version::V1_0_0);
        for refused in [None, Some("0.3.0"), Some("1.2.0"), Some("1.0"), Some("")] {
            assert_eq!(Version::negotiate(refused).unwrap_err().code, Code::IncompatibleVersion, "{refused:?}");
        }
    }

    #[test]
    fn reports_versions_to_any_input() {
        let supported = json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
        let report = Version::report(br#"{"cniVersion":"1.0.0"}"#);
        assert_eq!(report, json!({"cniVersion": "1.0.0", "supportedVersions": supported}));
        for input in ["", "no JSON", "[]"] {
            let report = Version::report(input.as_bytes());
            assert_eq!(report, json!({"cniVersion": "1.1.0", "supportedVersions": supported}));
        }
    }
}
