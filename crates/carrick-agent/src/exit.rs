//! Exit codes of `carrick`, for scripts and supervisors.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked to.
    Success,
    /// It failed for a reason that may pass: start it again.
    Failure,
    /// The command line, the environment or a file on disk is wrong (`EX_CONFIG` of sysexits.h): starting it again
    /// does not help.
    Configuration,
    /// A permission or a kernel feature is missing (`EX_NOPERM`).
    Permission,
}

impl Exit {
    /// The number that the process returns.
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
