//! What can go wrong, told so that a person finds the object and a caller decides by kind.

use std::fmt;

use netlink_packet_core::DecodeError;
use nix::errno::Errno;

/// A failed operation: what was tried, on which object, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}: {cause}")]
pub struct Error {
    /// The verb, such as `add route`.
    pub operation: &'static str,
    /// The object, such as `10.4.0.2/32 in table 1107`.
    pub object: String,
    /// Why it failed.
    #[source]
    pub cause: Cause,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel read the request and said no.
    #[error("{}", Refusal { errno: *errno, message: message.as_deref() })]
    Refused {
        /// The error number of the acknowledgement.
        errno: Errno,
        /// The kernel's own words (`NETLINK_EXT_ACK`), where it has some.
        message: Option<String>,
    },
    /// The socket itself failed.
    #[error("netlink socket: {}", .0.desc())]
    Socket(Errno),
    /// The kernel's answer could not be read.
    #[error("unreadable answer: {0}")]
    Decode(#[from] DecodeError),
    /// The answer did not come: it was lost because a receive buffer overflowed. Whether the
    /// request took effect is unknown; observe again.
    #[error("the kernel's answer was lost")]
    Unanswered,
    /// Objects kept changing while they were listed, so no consistent list could be had.
    #[error("the list kept changing while it was read")]
    Interrupted,
    /// The object was asked for and the answer did not contain it.
    #[error("the kernel answered without naming it")]
    Missing,
}

/// A list of objects of an address family, which a kernel without the family refuses: it has none.
pub(crate) fn none_without_family<T>(listed: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match listed {
        Err(error) if error.errno() == Some(Errno::EAFNOSUPPORT) => Ok(Vec::new()),
        listed => listed,
    }
}

/// The kinds of failure a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The object is there already (`EEXIST`).
    Exists,
    /// The object, or one it needs, is not there (`ENOENT`, `ESRCH`, `ENODEV`, `ENXIO`, `EADDRNOTAVAIL`).
    NotFound,
    /// The process lacks a capability (`EPERM`, `EACCES`).
    NotPermitted,
    /// The kernel lacks the feature (`EOPNOTSUPP`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`).
    NotSupported,
    /// Anything else.
    Other,
}

impl Error {
    /// Names the operation and the object of a cause.
    #[must_use]
    pub fn new(operation: &'static str, object: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { operation, object: object.into(), cause: cause.into() }
    }

    /// The kind of failure, by its error number.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.errno() {
            Some(Errno::EEXIST) => Kind::Exists,
            Some(Errno::ENOENT | Errno::ESRCH | Errno::ENODEV | Errno::ENXIO | Errno::EADDRNOTAVAIL) => Kind::NotFound,
            Some(Errno::EPERM | Errno::EACCES) => Kind::NotPermitted,
            Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT) => Kind::NotSupported,
            Some(_) => Kind::Other,
            None if matches!(self.cause, Cause::Missing) => Kind::NotFound,
            None => Kind::Other,
        }
    }

    /// The error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Refused { errno, .. } | Cause::Socket(errno) => Some(errno),
            Cause::Decode(_) | Cause::Unanswered | Cause::Interrupted | Cause::Missing => None,
        }
    }

    /// Whether the object is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.kind() == Kind::Exists
    }

    /// Whether the object, or one it needs, is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }

    /// Whether the process lacks a capability.
    #[must_use]
    pub fn is_not_permitted(&self) -> bool {
        self.kind() == Kind::NotPermitted
    }

    /// Whether the kernel lacks the feature.
    #[must_use]
    pub fn is_not_supported(&self) -> bool {
        self.kind() == Kind::NotSupported
    }
}

struct Refusal<'a> {
    errno: Errno,
    message: Option<&'a str>,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.errno.desc(), self.errno)?;
        if let Some(message) = self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_operation_object_and_reason() {
        let error = Error::new(
            "add route",
            "10.4.0.2/32 in table 1107",
            Cause::Refused { errno: Errno::EEXIST, message: Some("already there".to_owned()) },
        );
        assert_eq!(error.to_string(), "add route 10.4.0.2/32 in table 1107: File exists (EEXIST): already there");
        assert!(error.is_exists());
    }
}
