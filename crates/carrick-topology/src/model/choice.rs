//! Settings with a choice of values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A word that is not one of the choices.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}` is not one of {choices}")]
pub struct UnknownChoice {
    word: String,
    choices: &'static str,
}

macro_rules! choice {
    ($name:ident, $choices:literal, $($variant:ident = $word:literal),+) => {
        impl FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(word: &str) -> Result<Self, UnknownChoice> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownChoice { word: word.to_owned(), choices: $choices }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
}

/// Which nodes have tunnels to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// The gateways of the locations.
    #[default]
    Location,
    /// Every node with every node of other locations.
    Cross,
    /// Every node with every node.
    Full,
}

choice!(Granularity, "location, cross, full", Location = "location", Cross = "cross", Full = "full");

/// How pod packets travel between nodes of one location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// In VXLAN always.
    #[default]
    Always,
    /// Without encapsulation if the internal addresses share a subnet, else in VXLAN.
    CrossSubnet,
    /// Without encapsulation always.
    Never,
}

choice!(Encapsulation, "always, cross-subnet, never", Always = "always", CrossSubnet = "cross-subnet", Never = "never");

/// Where the MTU of the WireGuard device comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtuSetting {
    /// From the MTU of the path to the endpoints.
    #[default]
    Auto,
    /// This many bytes.
    Bytes(u32),
}

/// Whether traffic to allowed-location CIDRs takes the address of the node where it leaves the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowedLocationMasquerade {
    /// It does: the hosts there need no route to the mesh.
    #[default]
    On,
    /// It keeps its source address.
    Off,
}

/// Which CNI plugin connects the pods of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodNetwork {
    /// `carrick-cni`: the devices of pods have names that begin with [`crate::constants::POD_DEVICE_PREFIX`].
    #[default]
    Carrick,
    /// Another plugin, whose devices are not known.
    Foreign,
}
