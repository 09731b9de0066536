//! Links with their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use crate::Reader;
use crate::reader::link_layer_address;

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Its link-layer address; empty for a device without one.
    pub mac: String,
    /// Its kind, such as `vxlan`; empty for a device without one.
    pub kind: String,
    /// The settings of a VXLAN device.
    pub vxlan: Option<Vxlan>,
    /// Its addresses.
    pub addresses: BTreeSet<IpNet>,
}

/// The settings of a VXLAN device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// The VXLAN network identifier.
    pub identifier: u32,
    /// The UDP destination port.
    pub port: u16,
    /// The source of outer packets.
    pub local: Option<IpAddr>,
    /// Whether it learns from packets.
    pub learning: bool,
}

impl Reader {
    /// All links of the namespace, by name.
    #[must_use]
    pub fn links(&self) -> BTreeMap<String, Link> {
        let mut links: BTreeMap<String, Link> =
            self.dump(self.handle().link().get().execute()).into_iter().map(link).collect();
        for message in self.dump(self.handle().address().get().execute()) {
            let attribute = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let fallback = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            let holder = links.values_mut().find(|link| link.index == message.header.index);
            if let (Some(address), Some(link)) = (attribute.or(fallback), holder) {
                let network = IpNet::new(address, message.header.prefix_len).expect("the kernel's prefix fits");
                link.addresses.insert(network);
            }
        }
        links
    }

    /// The link of this name.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn link(&self, name: &str) -> Link {
        self.links().remove(name).unwrap_or_else(|| panic!("there is no link {name}"))
    }
}

fn link(message: LinkMessage) -> (String, Link) {
    let mut link =
        Link { index: message.header.index, up: message.header.flags.contains(LinkFlags::Up), ..Link::default() };
    let mut name = String::new();
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text,
            LinkAttribute::Mtu(bytes) => link.mtu = bytes,
            LinkAttribute::Address(bytes) => link.mac = link_layer_address(&bytes),
            LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| match info {
                LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                LinkInfo::Data(InfoData::Vxlan(settings)) => link.vxlan = Some(vxlan(&settings)),
                _ => {}
            }),
            _ => {}
        }
    }
    (name, link)
}

fn vxlan(settings: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan::default();
    for setting in settings {
        match setting {
            InfoVxlan::Id(identifier) => vxlan.identifier = *identifier,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Local(address) => vxlan.local = Some((*address).into()),
            InfoVxlan::Local6(address) => vxlan.local = Some((*address).into()),
            InfoVxlan::Learning(learning) => vxlan.learning = *learning,
            _ => {}
        }
    }
    vxlan
}
