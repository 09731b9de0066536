//! What scripts are told.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: everything that was asked for is there, and is well.
    #[default]
    Healthy,
    /// 1: something is not well.
    Unhealthy,
    /// 2: the command line asks for what there is not.
    Usage,
    /// 3: neither API server nor agents can be reached.
    Unreachable,
}

impl Exit {
    /// The code as a number.
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
