//! The plugin's configuration on standard input.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::environment::is_identifier;
use super::error::{Code, Error};
use super::requests::Requests;
use super::valid_attachments::ValidAttachments;
use super::version;
use carrick_pods::cni_version::Version;
use carrick_pods::node_data::DEFAULT_RUN_DIRECTORY;

/// What the plugin needs from its configuration. All else is ignored; what only some commands need stays
/// unread until they ask for it, so that DEL never fails for something that it does not use.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The version of the specification that input and output follow.
    pub version: Version,
    /// The network's name.
    pub network: String,
    /// Where the agent's data and the plugin's records are.
    pub run_directory: PathBuf,
    /// Name servers, passed on to the result.
    pub dns: Option<Value>,
    previous_result: Option<Value>,
    runtime_configuration: Option<Value>,
    valid_attachments: Option<Value>,
}

/// What CHECK must find again (specification, section 5, "ADD Success"), in any supported version's form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousResult {
    /// All devices that ADD made, on the host and in the pod.
    #[serde(default)]
    pub interfaces: Vec<PreviousInterface>,
    /// The addresses.
    #[serde(default)]
    pub ips: Vec<PreviousAddress>,
    /// The pod's routes.
    #[serde(default)]
    pub routes: Vec<PreviousRoute>,
}

/// A device of a [`PreviousResult`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousInterface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address, empty where that is not known.
    #[serde(default)]
    pub mac: String,
    /// The path of the namespace that it is in, empty for the host's.
    #[serde(default)]
    pub sandbox: String,
}

/// An address of a [`PreviousResult`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreviousAddress {
    /// The address and its prefix length.
    pub address: IpNet,
    /// Which of the interfaces has it.
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
    /// It is no JSON object ([`Code::Undecodable`]), in a version that the plugin does not speak
    /// ([`Code::IncompatibleVersion`]), or without a usable name or run directory ([`Code::InvalidConfiguration`]).
    pub fn parse(input: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(input)
            .map_err(|error| Error::new(Code::Undecodable, "cannot decode the configuration", error.to_string()))?;
        let version = version::negotiate(raw.cni_version.as_deref())?;
        let network = raw.name.unwrap_or_default();
        if !is_identifier(&network) {
            return Err(invalid(format!("name: {network:?} is not made of letters, digits, '_', '.' and '-'")));
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

    /// Refuses to stand behind another plugin, whose result would be lost.
    ///
    /// # Errors
    ///
    /// There is a previous result ([`Code::UnsupportedField`]).
    pub fn require_first(&self) -> Result<(), Error> {
        match &self.previous_result {
            None => Ok(()),
            Some(value) => {
                let details = format!("prevResult: {value}; carrick-cni must be the first plugin of its list");
                Err(Error::new(Code::UnsupportedField, "unsupported field in the configuration", details))
            }
        }
    }

    /// What the runtime asks for by capabilities.
    ///
    /// # Errors
    ///
    /// See [`Requests::read`].
    pub fn requests(&self) -> Result<Requests, Error> {
        Requests::read(self.runtime_configuration.as_ref())
    }

    /// What GC must leave alone.
    ///
    /// # Errors
    ///
    /// It is missing ([`Code::InvalidConfiguration`]) or not such a list ([`Code::Undecodable`]).
    pub fn valid_attachments(&self) -> Result<ValidAttachments, Error> {
        const KEY: &str = "cni.dev/valid-attachments";
        let value = self.valid_attachments.as_ref().ok_or_else(|| invalid(format!("{KEY}: missing")))?;
        ValidAttachments::read(value).map_err(|error| {
            Error::new(Code::Undecodable, "cannot decode the configuration", format!("{KEY}: {error}"))
        })
    }

    /// What ADD returned, which CHECK must get.
    ///
    /// # Errors
    ///
    /// It is missing or not a result ([`Code::InvalidConfiguration`]).
    pub fn previous_result(&self) -> Result<PreviousResult, Error> {
        let value = self.previous_result.as_ref().ok_or_else(|| invalid("prevResult: missing".to_owned()))?;
        PreviousResult::deserialize(value).map_err(|error| invalid(format!("prevResult: {error}")))
    }
}

/// Tells a `null` from a missing key.
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
    fn ignores_what_it_does_not_know_and_defaults_what_is_missing() {
        let json = r#"{"cniVersion":"1.0.0","name":"carrick","type":"carrick-cni","capabilities":{"x":true}}"#;
        let configuration = parse(json).unwrap();
        assert_eq!(configuration.version, Version::V1_0_0);
        assert_eq!(configuration.run_directory, PathBuf::from("/run/carrick"));
        configuration.require_first().unwrap();
    }

    #[test]
    fn says_what_is_wrong() {
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
    fn reads_a_previous_result_only_when_asked() {
        let configuration = parse(r#"{"cniVersion":"1.0.0","name":"n","prevResult":{"ips":"garbage"}}"#).unwrap();
        assert_eq!(configuration.previous_result().unwrap_err().code, Code::InvalidConfiguration);
        assert_eq!(configuration.require_first().unwrap_err().code, Code::UnsupportedField);
    }
}
