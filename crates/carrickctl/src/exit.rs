//! The exit status.

use std::process::ExitCode;

/// The exit status of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: the command succeeded and found no fault.
    #[default]
    Healthy,
    /// 1: the command found a fault.
    Unhealthy,
    /// 2: the command line is wrong, or names something that does not exist.
    Usage,
    /// 3: neither the API server nor any agent can be reached.
    Unreachable,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Unhealthy => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
