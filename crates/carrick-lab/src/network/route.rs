//! A route of a network namespace.

use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope};

use crate::address::Family;

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    destination: IpNet,
    pub(super) device: String,
    gateway: Option<(IpAddr, Gateway)>,
    source: Option<IpAddr>,
    table: Option<u32>,
}

/// What the kernel checks of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// Another route leads to it.
    Routed,
    /// Nothing: it is on the device's link.
    OnLink,
}

impl Route {
    /// A route to a network through a device, in the table `main`.
    #[must_use]
    pub fn new(destination: impl Into<IpNet>, device: &str) -> Self {
        let device = device.to_owned();
        Self { destination: destination.into(), device, gateway: None, source: None, table: None }
    }

    /// The default route of a family through a device, in the table `main`.
    #[must_use]
    pub fn default_of(family: Family, device: &str) -> Self {
        match family {
            Family::V4 => Self::new(Ipv4Net::default(), device),
            Family::V6 => Self::new(Ipv6Net::default(), device),
        }
    }

    /// With a gateway that another route leads to.
    #[must_use]
    pub fn via(self, gateway: impl Into<IpAddr>) -> Self {
        Self { gateway: Some((gateway.into(), Gateway::Routed)), ..self }
    }

    /// With a gateway that is on the device's link, whatever the other routes say.
    #[must_use]
    pub fn via_on_link(self, gateway: impl Into<IpAddr>) -> Self {
        Self { gateway: Some((gateway.into(), Gateway::OnLink)), ..self }
    }

    /// With a preferred source address.
    #[must_use]
    pub fn source(self, source: impl Into<IpAddr>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// In another routing table.
    #[must_use]
    pub fn in_table(self, table: u32) -> Self {
        Self { table: Some(table), ..self }
    }

    /// The netlink message, with the protocol `boot` and the scope that `ip route add` chooses.
    pub(super) fn message(&self, device: u32) -> Result<RouteMessage> {
        let direct = self.gateway.is_none() && self.destination.addr().is_ipv4();
        let scope = if direct { RouteScope::Link } else { RouteScope::Universe };
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.destination.addr(), self.destination.prefix_len())?
            .output_interface(device)
            .protocol(RouteProtocol::Boot)
            .scope(scope);
        if let Some((gateway, check)) = self.gateway {
            builder = builder.gateway(gateway)?;
            if check == Gateway::OnLink {
                builder = builder.onlink();
            }
        }
        if let Some(source) = self.source {
            builder = builder.pref_source(source)?;
        }
        if let Some(table) = self.table {
            builder = builder.table_id(table);
        }
        Ok(builder.build())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.destination, self.device)?;
        if let Some((gateway, _)) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        Ok(())
    }
}

pub(super) const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
