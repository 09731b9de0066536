//! Exit codes of `carrick`, for scripts and supervisors.

use std::process::ExitCode;

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded.
    Success,
    /// The command failed for a reason that may pass, so a restart may help.
    Failure,
    /// A flag, an environment variable or a file is wrong, so a restart does not help (`EX_CONFIG` of sysexits.h).
    Configuration,
    /// A permission or a kernel feature is missing (`EX_NOPERM`).
    Permission,
}

impl Exit {
    /// The exit status of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Configuration => 78,
            Self::Permission => 77,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
