//! The `CNI_*` environment variables (specification, section 2, "Parameters").

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::error::{Code, Error};
use carrick_pods::PodName;

/// Leaves room for the interface and a suffix in a file name of at most 255 bytes.
const LONGEST_CONTAINER_ID: usize = 200;
/// `IFNAMSIZ` without the closing zero.
const LONGEST_INTERFACE: usize = 15;

/// The variables as they came, nothing checked yet. An empty variable counts as missing.
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

/// What the runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a pod.
    Add,
    /// Detach a pod.
    Del,
    /// Tell whether a pod is still attached as ADD left it.
    Check,
    /// Remove what belongs to no attachment any more.
    Gc,
    /// Tell whether pods could be attached.
    Status,
    /// Tell which versions of the specification are spoken.
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

    /// The variables that `value` gives by their names.
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

    /// What the runtime wants.
    ///
    /// # Errors
    ///
    /// It is missing or unknown ([`Code::InvalidEnvironment`]), as from the other getters.
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

    /// The runtime's name for the sandbox: a letter or digit, then letters, digits, `_`, `.` and `-`.
    ///
    /// # Errors
    ///
    /// It is missing, too long for a file name, or holds other characters.
    pub fn container_id(&self) -> Result<String, Error> {
        const NAME: &str = "CNI_CONTAINERID";
        let value = required(NAME, self.container_id.as_ref())?;
        if !is_identifier(value) {
            return Err(invalid(NAME, format!("{value:?} is not made of letters, digits, '_', '.' and '-'")));
        }
        if value.len() > LONGEST_CONTAINER_ID {
            return Err(invalid(NAME, format!("longer than {LONGEST_CONTAINER_ID} bytes")));
        }
        Ok(value.to_owned())
    }

    /// The name that the pod's device shall have.
    ///
    /// # Errors
    ///
    /// It is missing or no name for a network device.
    pub fn interface(&self) -> Result<String, Error> {
        const NAME: &str = "CNI_IFNAME";
        let value = required(NAME, self.interface.as_ref())?;
        // With a '%' in it the kernel takes the name for a pattern.
        let forbidden = |character: char| {
            matches!(character, '/' | ':' | '%') || character.is_whitespace() || character.is_control()
        };
        if value.len() > LONGEST_INTERFACE || matches!(value, "" | "." | "..") || value.contains(forbidden) {
            return Err(invalid(NAME, format!("{value:?} cannot be the name of a network device")));
        }
        Ok(value.to_owned())
    }

    /// The path of the pod's network namespace.
    ///
    /// # Errors
    ///
    /// It is missing.
    pub fn namespace(&self) -> Result<PathBuf, Error> {
        self.namespace.clone().map(PathBuf::from).ok_or_else(|| invalid("CNI_NETNS", "not set"))
    }

    /// What Kubernetes calls the pod, where the runtime says so in words that can be shown. Other arguments are ignored.
    #[must_use]
    pub fn pod_name(&self) -> Option<PodName> {
        let shown =
            |name: &str| self.argument(name).filter(|value| !value.contains(char::is_control)).map(str::to_owned);
        Some(PodName { namespace: shown("K8S_POD_NAMESPACE")?, name: shown("K8S_POD_NAME")? })
    }

    /// One of the `NAME=VALUE` pairs of `CNI_ARGS`; an empty value counts as missing.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let mut pairs = self.arguments.as_ref()?.to_str()?.split(';');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    }
}

/// The form of container identifiers and network names.
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
    fn knows_its_commands_and_names_the_variable_otherwise() {
        let command = |text: &str| Environment { command: Some(text.into()), ..Environment::default() }.command();
        assert_eq!(command("CHECK").unwrap(), Command::Check);
        assert!(command("add").unwrap_err().details.starts_with("CNI_COMMAND: "));
        assert!(Environment::default().command().unwrap_err().details.starts_with("CNI_COMMAND: "));
    }

    #[test]
    fn container_ids_are_file_names() {
        let id = |text: &str| Environment { container_id: Some(text.into()), ..Environment::default() }.container_id();
        assert_eq!(id("0a1b_2.c-d").unwrap(), "0a1b_2.c-d");
        for refused in ["../x", ".x", "a/b", "a b", "a:b", "é", &"a".repeat(201)] {
            assert_eq!(id(refused).unwrap_err().code, Code::InvalidEnvironment, "{refused}");
        }
    }

    #[test]
    fn interfaces_are_device_names() {
        let name = |text: OsString| Environment { interface: Some(text), ..Environment::default() }.interface();
        assert_eq!(name("net1-é".into()).unwrap(), "net1-é");
        for refused in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\x1bb", "eth%d", "sixteen-letters!"] {
            assert_eq!(name(refused.into()).unwrap_err().code, Code::InvalidEnvironment, "{refused}");
        }
        let error = name(OsString::from_vec(vec![0xff])).unwrap_err();
        assert_eq!(error.details, "CNI_IFNAME: not UTF-8");
    }

    #[test]
    fn finds_the_pod_in_the_arguments() {
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
