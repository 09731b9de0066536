//! Negotiation of the specification's version.

use carrick_pods::cni_version::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment::Command;
use super::error::{Code, Error};

/// The version that a configuration asks for. One that names none means 0.1.0.
///
/// # Errors
///
/// The plugin does not support it ([`Code::IncompatibleVersion`]).
pub(super) fn negotiate(requested: Option<&str>) -> Result<Version, Error> {
    let requested = requested.unwrap_or("0.1.0");
    Version::ALL.into_iter().find(|version| version.as_str() == requested).ok_or_else(|| {
        let supported = Version::ALL.map(Version::as_str).join(", ");
        Error::new(
            Code::IncompatibleVersion,
            "incompatible CNI version",
            format!("the configuration's cniVersion is {requested:?}; carrick-cni supports {supported}"),
        )
    })
}

/// Refuses commands that this version does not have.
///
/// # Errors
///
/// The configuration's version is older than the command ([`Code::IncompatibleVersion`]).
pub(super) fn require(version: Version, command: Command) -> Result<(), Error> {
    let first = match command {
        Command::Add | Command::Del | Command::Version => Version::V0_3_1,
        Command::Check => Version::V0_4_0,
        Command::Gc | Command::Status => Version::V1_1_0,
    };
    if version >= first {
        return Ok(());
    }
    let details = format!("the configuration's cniVersion is {version}; {command} requires {first}");
    Err(Error::new(Code::IncompatibleVersion, "incompatible CNI version", details))
}

/// The answer to the command VERSION on this input, which need not be a configuration.
pub(super) fn report(input: &[u8]) -> Value {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        cni_version: String,
    }
    let asked = serde_json::from_slice(input).map(|request: Request| request.cni_version);
    json!({
        "cniVersion": asked.unwrap_or_else(|_| Version::NEWEST.to_string()),
        "supportedVersions": Version::ALL,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_than_the_four_are_refused() {
        assert_eq!(negotiate(Some("1.0.0")).unwrap(), Version::V1_0_0);
        for refused in [None, Some("0.3.0"), Some("1.2.0"), Some("1.0"), Some("")] {
            assert_eq!(negotiate(refused).unwrap_err().code, Code::IncompatibleVersion, "{refused:?}");
        }
    }

    #[test]
    fn versions_are_reported_for_any_input() {
        let supported = json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
        let answer = report(br#"{"cniVersion":"1.0.0"}"#);
        assert_eq!(answer, json!({"cniVersion": "1.0.0", "supportedVersions": supported}));
        for input in ["", "no JSON", "[]"] {
            let answer = report(input.as_bytes());
            assert_eq!(answer, json!({"cniVersion": "1.1.0", "supportedVersions": supported}));
        }
    }
}
