//! What an agent finds out about its own node.
//!
//! Sources are the own Node object in full and the network interfaces of the host. [`own_facts`] chooses from them the addresses and
//! endpoints that the agent advertises.

mod endpoint;
mod facts;
mod interface;
mod internal_address;
mod surroundings;

#[cfg(test)]
mod tests;

pub use facts::{OwnFacts, host_networks, own_facts, routed_networks};
pub use interface::{AddressRank, Attachment, HostFacts, Interface, InterfaceAddress};
pub use surroundings::{DeviceMtus, OwnNode, container_bridges, device_mtus, unattached_devices};
