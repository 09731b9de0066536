//! Links, addresses, routes and rules of a network namespace, set with the crate `rtnetlink`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use carrick_types::MacAddress;
use futures::TryStreamExt as _;
use ipnet::IpNet;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use tokio::runtime::{Builder, Runtime};

use super::route::{Route, address_family};
use crate::address::Family;
use crate::namespace::Namespaces;

/// A connection to the routing netlink of one network namespace.
#[derive(Debug)]
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

/// One end of a pair of connected Ethernet devices.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// The name of the device.
    pub device: &'a str,
    /// Its MAC address; a random one if missing.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes; the kernel's default if missing.
    pub mtu: Option<u32>,
}

impl<'a> VethEnd<'a> {
    /// A device with the kernel's defaults.
    #[must_use]
    pub const fn new(device: &'a str) -> Self {
        Self { device, mac: None, mtu: None }
    }
}

/// Whether the kernel makes a route to the subnet of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixRoute {
    /// It makes one.
    Added,
    /// The address has no route.
    None,
}

/// Calls `work` with a connection in a network namespace.
///
/// # Errors
/// The namespace cannot be entered, or `work` fails; the error names the namespace.
pub fn configure<T: Send>(namespaces: &Namespaces, work: impl FnOnce(&Netlink) -> Result<T> + Send) -> Result<T> {
    namespaces.enter(|| work(&Netlink::connect()?)).with_context(|| namespaces.name().to_owned())
}

impl Netlink {
    /// Connects in the network namespace of the calling thread.
    fn connect() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build().context("start a runtime")?;
        let connect = async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            std::io::Result::Ok(handle)
        };
        let handle = runtime.block_on(connect).context("connect to the kernel's routing")?;
        Ok(Self { runtime, handle })
    }

    /// Adds a bridge that floods multicast packets, and sets it up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_bridge(&self, name: &str, mac: Option<MacAddress>) -> Result<()> {
        let bridge = with_mac(LinkBridge::new(name).mcast_snooping(false).up(), mac).build();
        self.add_link(bridge).with_context(|| format!("add the bridge {name}"))
    }

    /// Adds a pair of connected devices: one end here, the other one in a network namespace.
    ///
    /// # Errors
    /// The kernel refuses, or the process has no file descriptor left.
    pub fn add_veth(&self, here: VethEnd<'_>, there: VethEnd<'_>, namespaces: &Namespaces) -> Result<()> {
        let namespace = namespaces.network_descriptor()?;
        let peer = LinkUnspec::new_with_name(there.device).setns_by_fd(namespace.as_raw_fd());
        let peer = with_mtu(with_mac(peer, there.mac), there.mtu).build();
        let link = with_mtu(with_mac(LinkVeth::new(here.device, there.device), here.mac), here.mtu);
        self.add_link(link.set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build())
            .with_context(|| format!("add the devices {} and {}", here.device, there.device))
    }

    /// Sets a device up.
    ///
    /// # Errors
    /// There is no such device, or the kernel refuses.
    pub fn set_up(&self, device: &str) -> Result<()> {
        let up = LinkUnspec::new_with_name(device).up().build();
        self.wait(self.handle.link().change(up).execute()).with_context(|| format!("set {device} up"))
    }

    /// Makes a device a port of a bridge, and sets the device up.
    ///
    /// # Errors
    /// There is no such device or bridge, or the kernel refuses.
    pub fn attach(&self, device: &str, bridge: &str) -> Result<()> {
        let port = LinkUnspec::new_with_name(device).controller(index(bridge)?).up().build();
        let attached = self.wait(self.handle.link().change(port).execute());
        attached.with_context(|| format!("attach {device} to {bridge}"))
    }

    /// Deletes a device, if it exists.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete_link(&self, device: &str) -> Result<()> {
        let link = LinkUnspec::new_with_name(device).build();
        match self.wait(self.handle.link().del_with_message(link).execute()) {
            Err(error) if error.downcast_ref().and_then(kernel_error) == Some(Errno::ENODEV) => Ok(()),
            result => result.with_context(|| format!("delete {device}")),
        }
    }

    /// Adds an address that is usable at once: without duplicate address detection.
    ///
    /// # Errors
    /// There is no such device, or the kernel refuses.
    pub fn add_address(&self, device: &str, network: IpNet, prefix_route: PrefixRoute) -> Result<()> {
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Nodad, network.addr().is_ipv6());
        flags.set(AddressFlags::Noprefixroute, prefix_route == PrefixRoute::None);
        let mut request = self.handle.address().add(index(device)?, network.addr(), network.prefix_len());
        request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        self.wait(request.execute()).with_context(|| format!("add {network} to {device}"))
    }

    /// All addresses in the namespace.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn addresses(&self) -> Result<BTreeSet<IpAddr>> {
        let messages: Vec<_> = self.wait(self.handle.address().get().execute().try_collect())?;
        let attributes = messages.into_iter().flat_map(|message| message.attributes);
        // An IPv6 address has the second attribute only. The two differ on point-to-point devices alone.
        let addresses = attributes.filter_map(|attribute| match attribute {
            AddressAttribute::Local(address) | AddressAttribute::Address(address) => Some(address),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// There is no such device, the addresses are of different families, or the kernel refuses.
    pub fn add_route(&self, route: &Route) -> Result<()> {
        let message = route.message(index(&route.device)?)?;
        self.wait(self.handle.route().add(message).execute()).with_context(|| format!("add the route {route}"))
    }

    /// Adds a route, or replaces the route to the same destination.
    ///
    /// # Errors
    /// As [`Netlink::add_route`].
    pub fn replace_route(&self, route: &Route) -> Result<()> {
        let message = route.message(index(&route.device)?)?;
        let replaced = self.wait(self.handle.route().add(message).replace().execute());
        replaced.with_context(|| format!("replace the route {route}"))
    }

    /// Adds a rule: packets of a family that arrive at a device use a routing table.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_rule(&self, family: Family, arriving_at: &str, table: u32) -> Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule(family, arriving_at, table);
        self.wait(request.execute()).with_context(|| format!("add the {family} rule for {arriving_at}"))
    }

    /// Deletes a rule of [`Netlink::add_rule`].
    ///
    /// # Errors
    /// There is no such rule.
    pub fn delete_rule(&self, family: Family, arriving_at: &str, table: u32) -> Result<()> {
        let deleted = self.wait(self.handle.rule().del(rule(family, arriving_at, table)).execute());
        deleted.with_context(|| format!("delete the {family} rule for {arriving_at}"))
    }

    fn add_link(&self, link: LinkMessage) -> Result<()> {
        self.wait(self.handle.link().add(link).execute())
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, rtnetlink::Error>>) -> Result<T> {
        Ok(self.runtime.block_on(request)?)
    }
}

fn kernel_error(error: &rtnetlink::Error) -> Option<Errno> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| Errno::from_raw(-code.get())),
        _ => None,
    }
}

fn with_mac<T>(link: LinkMessageBuilder<T>, mac: Option<MacAddress>) -> LinkMessageBuilder<T> {
    match mac {
        Some(mac) => link.address(mac.0.to_vec()),
        None => link,
    }
}

fn with_mtu<T>(link: LinkMessageBuilder<T>, mtu: Option<u32>) -> LinkMessageBuilder<T> {
    match mtu {
        Some(mtu) => link.mtu(mtu),
        None => link,
    }
}

fn rule(family: Family, arriving_at: &str, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Iifname(arriving_at.to_owned()), RuleAttribute::Table(table)];
    message
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("find the device {device}"))
}
