//! The `CNI_*` environment variables (CNI specification 1.1.0, section 2, "Parameters").

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use carrick_pods::PodName;

use super::error::{Code, Error};

/// The longest container ID, in bytes. A file name of at most 255 bytes also has the interface name.
const LONGEST_CONTAINER_ID: usize = 200;
/// The longest interface name, in bytes: `IFNAMSIZ` without the closing zero.
const LONGEST_INTERFACE: usize = 15;

/// The values of the variables, not validated. An empty variable counts as missing.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: Option<OsString>,
    /// `CNI_CONTAINERID`.
    pub container_id: Option<OsString>,
    /// `CNI_NETNS`.
    pub namespace: Option<OsString>,
    /// `CNI_IFNAME`.
    pub interface: Option<OsString>,
    /// `CNI_ARGS`.
    pub arguments: Option<OsString>,
}

/// A command of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a pod.
    Add,
    /// Detach a pod.
    Del,
    /// Verify that a pod is attached as ADD configured it.
    Check,
    /// Remove everything that belongs to no valid attachment.
    Gc,
    /// Report whether the plugin can attach pods.
    Status,
    /// Report the supported versions of the specification.
    Version,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        })
    }
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// The variables with the values that `value` returns for their names.
    #[must_use]
    pub fn from_variables(value: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name: &str| value(name).filter(|value| !value.is_empty());
        Self {
            command: variable("CNI_COMMAND"),
            container_id: variable("CNI_CONTAINERID"),
            namespace: variable("CNI_NETNS"),
            interface: variable("CNI_IFNAME"),
            arguments: variable("CNI_ARGS"),
        }
    }

    /// The command.
    ///
    /// # Errors
    ///
    /// The variable is missing or has an unknown value ([`Code::InvalidEnvironment`]). The other getters return the same code.
    pub fn command(&self) -> Result<Command, Error> {
        match required("CNI_COMMAND", self.command.as_ref())? {
            "ADD" => Ok(Command::Add),
            "DEL" => Ok(Command::Del),
            "CHECK" => Ok(Command::Check),
            "GC" => Ok(Command::Gc),
            "STATUS" => Ok(Command::Status),
            "VERSION" => Ok(Command::Version),
            other => Err(invalid("CNI_COMMAND", format!("{other:?} is not ADD, DEL, CHECK, GC, STATUS or VERSION"))),
        }
    }

    /// The container ID: a letter or digit, then letters, digits, `_`, `.` and `-`.
    ///
    /// # Errors
    ///
    /// The variable is missing, is longer than 200 bytes, or contains other characters.
    pub fn container_id(&self) -> Result<String, Error> {
        const NAME: &str = "CNI_CONTAINERID";
        let value = required(NAME, self.container_id.as_ref())?;
        if !is_identifier(value) {
            return Err(invalid(
                NAME,
                format!(
                    "{value:?} must start with a letter or digit and contain only letters, digits, '_', '.' and '-'"
                ),
            ));
        }
        if value.len() > LONGEST_CONTAINER_ID {
            return Err(invalid(NAME, format!("longer than {LONGEST_CONTAINER_ID} bytes")));
        }
        Ok(value.to_owned())
    }

    /// The name of the pod's interface.
    ///
    /// # Errors
    ///
    /// The variable is missing or is not a valid interface name.
    pub fn interface(&self) -> Result<String, Error> {
        const NAME: &str = "CNI_IFNAME";
        let value = required(NAME, self.interface.as_ref())?;
        // The kernel replaces a pattern such as `%d` in a name.
        let forbidden = |character: char| {
            matches!(character, '/' | ':' | '%') || character.is_whitespace() || character.is_control()
        };
        if value.len() > LONGEST_INTERFACE || matches!(value, "" | "." | "..") || value.contains(forbidden) {
            return Err(invalid(NAME, format!("{value:?} is not a valid interface name")));
        }
        Ok(value.to_owned())
    }

    /// The path of the pod's network namespace.
    ///
    /// # Errors
    ///
    /// The variable is missing.
    pub fn namespace(&self) -> Result<PathBuf, Error> {
        self.namespace.clone().map(PathBuf::from).ok_or_else(|| invalid("CNI_NETNS", "not set"))
    }

    /// The pod's name in Kubernetes, if the runtime passes it without control characters. Other arguments are ignored.
    #[must_use]
    pub fn pod_name(&self) -> Option<PodName> {
        let printable =
            |name: &str| self.argument(name).filter(|value| !value.contains(char::is_control)).map(str::to_owned);
        Some(PodName { namespace: printable("K8S_POD_NAMESPACE")?, name: printable("K8S_POD_NAME")? })
    }

    /// The value of a `NAME=VALUE` pair in `CNI_ARGS`. An empty value counts as missing.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let mut pairs = self.arguments.as_ref()?.to_str()?.split(';');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    }
}

/// Whether the text is a valid container ID or network name.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-'))
}

fn required<'a>(name: &str, value: Option<&'a OsString>) -> Result<&'a str, Error> {
    let value = value.ok_or_else(|| invalid(name, "not set"))?;
    value.to_str().ok_or_else(|| invalid(name, "not UTF-8"))
}

pub(crate) fn invalid(name: &str, problem: impl AsRef<str>) -> Error {
    let details = format!("{name}: {}", problem.as_ref());
    Error::new(Code::InvalidEnvironment, "invalid environment variable", details)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn an_unknown_command_is_an_error_that_names_the_variable() {
        let command = |text: &str| Environment { command: Some(text.into()), ..Environment::default() }.command();
        assert_eq!(command("CHECK").unwrap(), Command::Check);
        assert!(command("add").unwrap_err().details.starts_with("CNI_COMMAND: "));
        assert!(Environment::default().command().unwrap_err().details.starts_with("CNI_COMMAND: "));
    }

    #[test]
    fn a_container_id_is_a_valid_file_name() {
        let id = |text: &str| Environment { container_id: Some(text.into()), ..Environment::default() }.container_id();
        assert_eq!(id("0a1b_2.c-d").unwrap(), "0a1b_2.c-d");
        for refused in ["../x", ".x", "a/b", "a b", "a:b", "é", &"a".repeat(201)] {
            assert_eq!(id(refused).unwrap_err().code, Code::InvalidEnvironment, "{refused}");
        }
    }

    #[test]
    fn an_interface_is_a_valid_device_name() {
        let name = |text: OsString| Environment { interface: Some(text), ..Environment::default() }.interface();
        assert_eq!(name("net1-é".into()).unwrap(), "net1-é");
        for refused in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\x1bb", "eth%d", "sixteen-letters!"] {
            assert_eq!(name(refused.into()).unwrap_err().code, Code::InvalidEnvironment, "{refused}");
        }
        let error = name(OsString::from_vec(vec![0xff])).unwrap_err();
        assert_eq!(error.details, "CNI_IFNAME: not UTF-8");
    }

    #[test]
    fn the_pod_name_is_read_from_the_arguments() {
        let pod = |text: &str| Environment { arguments: Some(text.into()), ..Environment::default() }.pod_name();
        let found = pod("IgnoreUnknown=1;K8S_POD_NAMESPACE=web;K8S_POD_NAME=shop-0;K8S_POD_UID=").unwrap();
        assert_eq!((found.namespace.as_str(), found.name.as_str()), ("web", "shop-0"));
        for without in [
            "",
            "K8S_POD_NAME=shop-0",
            "K8S_POD_NAMESPACEX=web;K8S_POD_NAME=a",
            "=;;=",
            "K8S_POD_NAMESPACE=web;K8S_POD_NAME=",
            "K8S_POD_NAMESPACE=web;K8S_POD_NAME=\x1b[2J",
        ] {
            assert_eq!(pod(without), None, "{without}");
        }
    }
}
