//! Versions of the CNI specification.

use std::fmt;

use serde::{Serialize, Serializer};

/// A version of the CNI specification that the plugin supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.1: the first version in which a result lists its interfaces. It has no CHECK.
    V0_3_1,
    /// 0.4.0: adds CHECK.
    V0_4_0,
    /// 1.0.0: the addresses of a result no longer have a `version` field.
    V1_0_0,
    /// 1.1.0: adds STATUS and GC, `cniVersions` in configurations, and the MTU in results.
    V1_1_0,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Version; 4] = [Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
    /// The newest version.
    pub const NEWEST: Version = Version::V1_1_0;

    /// The version as it is written in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
