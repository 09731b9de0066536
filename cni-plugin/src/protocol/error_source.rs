//! The error code of each failure of the kernel, the node data, the store and the nftables table.

use carrick_pods::firewall::FirewallError;
use carrick_pods::ipam::{PoolError, StoreError};
use carrick_pods::node_data::NodeDataError;

use super::error::{Code, Error};

impl From<carrick_netlink::Error> for Error {
    fn from(error: carrick_netlink::Error) -> Self {
        Self::new(Code::Kernel, "the kernel rejected a request", error.to_string())
    }
}

impl From<NodeDataError> for Error {
    fn from(error: NodeDataError) -> Self {
        let details = error.to_string();
        match error {
            NodeDataError::Missing(_) => {
                Self::new(Code::TryAgainLater, "the agent has not programmed this node yet", details)
            }
            NodeDataError::Unreadable { .. } => Self::new(Code::InputOutput, "cannot read the node data", details),
            NodeDataError::Damaged { .. } => Self::new(Code::DamagedState, "the node data is damaged", details),
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::NoCidr => {
                Self::new(Code::TryAgainLater, "the agent has not programmed this node yet", error.to_string())
            }
            PoolError::TooSmall(_) => {
                Self::new(Code::InvalidConfiguration, "the node's pod CIDRs are too small", error.to_string())
            }
        }
    }
}

impl From<FirewallError> for Error {
    fn from(error: FirewallError) -> Self {
        match error {
            FirewallError::Kernel(error) => error.into(),
            FirewallError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let details = error.to_string();
        match error {
            StoreError::AttachedAlready(_) => {
                Self::new(Code::AttachedAlready, "the interface is already attached", details)
            }
            StoreError::Exhausted(_) => Self::new(Code::AddressesExhausted, "no free address", details),
            StoreError::OutOfRange(_) => Self::new(Code::InvalidConfiguration, "invalid configuration", details),
            StoreError::AddressInUse(..) | StoreError::HostPortInUse(..) => {
                Self::new(Code::Conflict, "a requested address or host port is in use", details)
            }
            StoreError::Damaged { .. } => Self::new(Code::DamagedState, "a record is damaged", details),
            StoreError::Locked { .. } => Self::new(Code::TryAgainLater, "the records are locked", details),
            StoreError::InputOutput { .. } => Self::new(Code::InputOutput, "cannot read or write the records", details),
        }
    }
}
