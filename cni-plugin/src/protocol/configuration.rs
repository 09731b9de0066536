//! The configuration of the plugin, which the runtime writes to standard input.

use std::net::IpAddr;
use std::path::PathBuf;

use carrick_pods::cni_version::Version;
use carrick_pods::node_data::DEFAULT_RUN_DIRECTORY;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::environment::is_identifier;
use super::error::{Code, Error};
use super::requests::Requests;
use super::valid_attachments::ValidAttachments;
use super::version;

/// The fields of the configuration that the plugin uses. Other fields are ignored. Fields that only some commands need are decoded
/// when the command asks for them, so DEL never fails because of a field that it does not use.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The version of the specification that the configuration and the answer follow.
    pub version: Version,
    /// The name of the network.
    pub network: String,
    /// The directory with the node data and the records: an absolute path.
    pub run_directory: PathBuf,
    /// The `dns` of the configuration, which the result repeats.
    pub dns: Option<Value>,
    previous_result: Option<Value>,
    runtime_configuration: Option<Value>,
    valid_attachments: Option<Value>,
}

/// The result of ADD that CHECK verifies (CNI specification 1.1.0, section 5), in the format of any supported version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousResult {
    /// The interfaces on the host and in the pod.
    #[serde(default)]
    pub interfaces: Vec<PreviousInterface>,
    /// The pod's addresses.
    #[serde(default)]
    pub ips: Vec<PreviousAddress>,
    /// The pod's routes.
    #[serde(default)]
    pub routes: Vec<PreviousRoute>,
}

/// An interface of a [`PreviousResult`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousInterface {
    /// The name of the interface.
    pub name: String,
    /// The MAC address; empty if it is not known.
    #[serde(default)]
    pub mac: String,
    /// The path of the interface's network namespace; empty for the host's.
    #[serde(default)]
    pub sandbox: String,
}

/// An address of a [`PreviousResult`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousAddress {
    /// The address and its prefix length.
    pub address: IpNet,
    /// The index of the interface with this address.
    pub interface: Option<usize>,
}

/// A route of a [`PreviousResult`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousRoute {
    /// The destination.
    #[serde(rename = "dst")]
    pub destination: IpNet,
    /// The next hop.
    #[serde(rename = "gw")]
    pub gateway: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    cni_version: Option<String>,
    name: Option<String>,
    run_directory: Option<PathBuf>,
    dns: Option<Value>,
    prev_result: Option<Value>,
    runtime_config: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments", default, deserialize_with = "given")]
    valid_attachments: Option<Value>,
}

impl Configuration {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// The input is not a JSON object ([`Code::Undecodable`]), its version is not supported ([`Code::IncompatibleVersion`]), or its name
    /// or run directory is invalid ([`Code::InvalidConfiguration`]).
    pub fn parse(input: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(input)
            .map_err(|error| Error::new(Code::Undecodable, "cannot decode the configuration", error.to_string()))?;
        let version = version::negotiate(raw.cni_version.as_deref())?;
        let network = raw.name.unwrap_or_default();
        if !is_identifier(&network) {
            return Err(invalid(format!(
                "name: {network:?} must start with a letter or digit and contain only letters, digits, '_', '.' and '-'"
            )));
        }
        let run_directory = raw.run_directory.unwrap_or_else(|| DEFAULT_RUN_DIRECTORY.into());
        if !run_directory.is_absolute() {
            return Err(invalid(format!("runDirectory: {} is not an absolute path", run_directory.display())));
        }
        Ok(Self {
            version,
            network,
            run_directory,
            dns: raw.dns,
            previous_result: raw.prev_result,
            runtime_configuration: raw.runtime_config,
            valid_attachments: raw.valid_attachments,
        })
    }

    /// Checks that this plugin is the first of its list. The result of an earlier plugin would be lost.
    ///
    /// # Errors
    ///
    /// The configuration has a previous result ([`Code::UnsupportedField`]).
    pub fn require_first(&self) -> Result<(), Error> {
        match &self.previous_result {
            None => Ok(()),
            Some(value) => {
                let details = format!("prevResult: {value}; carrick-cni must be the first plugin of its list");
                Err(Error::new(Code::UnsupportedField, "unsupported field in the configuration", details))
            }
        }
    }

    /// What the runtime requests through capabilities.
    ///
    /// # Errors
    ///
    /// See [`Requests::read`].
    pub fn requests(&self) -> Result<Requests, Error> {
        Requests::read(self.runtime_configuration.as_ref())
    }

    /// The attachments that GC must keep.
    ///
    /// # Errors
    ///
    /// The list is missing ([`Code::InvalidConfiguration`]) or cannot be decoded ([`Code::Undecodable`]).
    pub fn valid_attachments(&self) -> Result<ValidAttachments, Error> {
        const KEY: &str = "cni.dev/valid-attachments";
        let value = self.valid_attachments.as_ref().ok_or_else(|| invalid(format!("{KEY}: missing")))?;
        ValidAttachments::read(value).map_err(|error| {
            Error::new(Code::Undecodable, "cannot decode the configuration", format!("{KEY}: {error}"))
        })
    }

    /// The result of ADD, which CHECK needs.
    ///
    /// # Errors
    ///
    /// The result is missing or cannot be decoded ([`Code::InvalidConfiguration`]).
    pub fn previous_result(&self) -> Result<PreviousResult, Error> {
        let value = self.previous_result.as_ref().ok_or_else(|| invalid("prevResult: missing".to_owned()))?;
        PreviousResult::deserialize(value).map_err(|error| invalid(format!("prevResult: {error}")))
    }
}

/// Decodes `null` to `Some(Value::Null)`, so that it differs from a missing key.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn invalid(details: String) -> Error {
    Error::new(Code::InvalidConfiguration, "invalid configuration", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Configuration, Error> {
        Configuration::parse(json.as_bytes())
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_have_defaults() {
        let json = r#"{"cniVersion":"1.0.0","name":"carrick","type":"carrick-cni","capabilities":{"x":true}}"#;
        let configuration = parse(json).unwrap();
        assert_eq!(configuration.version, Version::V1_0_0);
        assert_eq!(configuration.run_directory, PathBuf::from("/run/carrick"));
        configuration.require_first().unwrap();
    }

    #[test]
    fn an_invalid_configuration_has_its_error_code() {
        let cases = [
            ("", Code::Undecodable),
            ("[]", Code::Undecodable),
            (r#"{"cniVersion":1,"name":"n"}"#, Code::Undecodable),
            (r#"{"cniVersion":"1.0.0","name":"n","runDirectory":7}"#, Code::Undecodable),
            (r#"{"cniVersion":"1.0.0","name":"n","runDirectory":"run"}"#, Code::InvalidConfiguration),
            (r#"{"cniVersion":"1.0.0"}"#, Code::InvalidConfiguration),
            (r#"{"cniVersion":"1.0.0","name":"../n"}"#, Code::InvalidConfiguration),
            (r#"{"cniVersion":"9.9.9","name":"n"}"#, Code::IncompatibleVersion),
        ];
        for (json, code) in cases {
            assert_eq!(parse(json).unwrap_err().code, code, "{json}");
        }
    }

    #[test]
    fn a_previous_result_is_decoded_only_when_it_is_needed() {
        let configuration = parse(r#"{"cniVersion":"1.0.0","name":"n","prevResult":{"ips":"garbage"}}"#).unwrap();
        assert_eq!(configuration.previous_result().unwrap_err().code, Code::InvalidConfiguration);
        assert_eq!(configuration.require_first().unwrap_err().code, Code::UnsupportedField);
    }
}
