//! The internet: it routes public prefixes between locations, and drops packets with private addresses.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::Ipv6Net;

use crate::address::Family;
use crate::layout::{API_ADDRESSES, INTERNET_GATEWAY, LocationLayout, UPLINK_LINK_LOCAL, private_prefixes};
use crate::namespace::{Namespaces, network_path};
use crate::network::{self, PrefixRoute, Role, Route, VethEnd};
use crate::supervisor::{NamespaceSetup, Supervisor};

/// The internet. Its namespaces are the lab's outermost ones.
#[derive(Debug)]
pub struct Internet {
    supervisor: Supervisor,
}

impl Internet {
    /// Makes the internet without a location.
    ///
    /// # Errors
    /// The caller is not root, or the kernel refuses.
    pub fn start() -> Result<Self> {
        let supervisor = Supervisor::start("internet", &NamespaceSetup::default(), None)?;
        let namespaces = supervisor.namespaces();
        network::prepare(namespaces, Role::Router)?;
        let v6 = API_ADDRESSES.of(Family::V6).filter(|_| network::kernel_has_ipv6());
        let own = [Some(IpAddr::V4(INTERNET_GATEWAY)), API_ADDRESSES.of(Family::V4), v6];
        network::configure(namespaces, |kernel| {
            own.into_iter()
                .flatten()
                .try_for_each(|address| kernel.add_address("lo", address.into(), PrefixRoute::Added))
        })?;
        network::nft(namespaces, &firewall())?;
        Ok(Self { supervisor })
    }

    /// The namespaces of the internet.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        self.supervisor.namespaces()
    }

    /// The supervisor of the internet's namespaces. The lab ends with it.
    #[must_use]
    pub const fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Makes an empty network namespace that ends with the lab. `ip netns` in the internet shows it.
    ///
    /// # Errors
    /// The name is taken, or the kernel refuses.
    pub fn make_network(&self, name: &str) -> Result<Namespaces> {
        let path = network_path(name);
        self.namespaces().make_network(&path)?;
        Namespaces::network(name, &self.supervisor.path(&path))
    }

    /// Connects a location's router, whose interface is `wan0`, and routes the location's public prefixes to it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect(&self, location: &LocationLayout, router: &Namespaces) -> Result<()> {
        let name = location.name.as_str();
        let end = |device| VethEnd { mtu: Some(location.mtu), ..VethEnd::new(device) };
        let (own, router_address) = UPLINK_LINK_LOCAL;
        network::configure(self.namespaces(), |kernel| {
            kernel.add_veth(end(name), end("wan0"), router)?;
            if network::kernel_has_ipv6() {
                kernel.add_address(name, Ipv6Net::new(own, 64)?.into(), PrefixRoute::Added)?;
            }
            kernel.set_up(name)?;
            if let Some(v4) = location.wan.v4 {
                kernel.add_route(&Route::new(location.public_v4, name).via_on_link(v4))?;
            }
            if location.wan.v6.is_some() {
                kernel.add_route(&Route::new(location.public_v6, name).via(router_address))?;
            }
            Ok(())
        })
    }

    /// The number of packets with a private source or destination that the internet has dropped.
    ///
    /// # Errors
    /// nftables does not answer.
    pub fn dropped_private(&self) -> Result<u64> {
        network::counter(self.namespaces(), "internet", "private")
    }
}

fn firewall() -> String {
    let v4 = private_prefixes(Family::V4).join(", ");
    let v6 = private_prefixes(Family::V6).join(", ");
    format!(
        "table inet internet {{
            counter private {{ }}
            set private4 {{ type ipv4_addr; flags interval; elements = {{ {v4} }} }}
            set private6 {{ type ipv6_addr; flags interval; elements = {{ {v6} }} }}
            chain arriving {{
                type filter hook prerouting priority raw;
                iif lo accept
                ip saddr @private4 counter name private drop
                ip daddr @private4 counter name private drop
                ip6 saddr @private6 counter name private drop
                ip6 daddr @private6 counter name private drop
            }}
        }}"
    )
}
