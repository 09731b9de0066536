//! The internet: it routes public prefixes between locations, and drops packets with private addresses.

use std::net::IpAddr;

use anyhow::Result;

use crate::address::{Addresses, Family};
use crate::layout::{API_ADDRESSES, INTERNET_GATEWAY, LocationLayout, UPLINK_LINK_LOCAL, private_prefixes};
use crate::namespace::Namespaces;
use crate::network::{self, Role};
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
        let own = [Some(IpAddr::V4(INTERNET_GATEWAY)), API_ADDRESSES.of(Family::V4), API_ADDRESSES.of(Family::V6)];
        let lines: String = own
            .into_iter()
            .flatten()
            .map(|address| format!("address add {address} dev lo{}\n", without_dad(address)))
            .collect();
        network::ip(namespaces, &lines)?;
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
        self.namespaces().exec(&["ip", "netns", "add", name])?;
        Namespaces::network(name, &self.supervisor.path(&format!("/run/netns/{name}")))
    }

    /// Connects a location's router, whose interface is `wan0`, and routes the location's public prefixes to it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect(&self, location: &LocationLayout) -> Result<()> {
        let name = &location.name;
        let mtu = location.mtu;
        let (own, router) = UPLINK_LINK_LOCAL;
        let mut lines = format!(
            "link add name {name} mtu {mtu} type veth peer name wan0 mtu {mtu} netns {name}\n\
             address add {own}/64 dev {name} nodad\n\
             link set dev {name} up\n"
        );
        if let Some(v4) = location.wan.v4 {
            lines += &format!("route add {} via {v4} dev {name} onlink\n", location.public_v4);
        }
        if location.wan.v6.is_some() {
            lines += &format!("route add {} via {router} dev {name}\n", location.public_v6);
        }
        network::ip(self.namespaces(), &lines)
    }

    /// The number of packets with a private source or destination that the internet has dropped.
    ///
    /// # Errors
    /// nftables does not answer.
    pub fn dropped_private(&self) -> Result<u64> {
        network::counter(self.namespaces(), "internet", "private")
    }

    /// The addresses of the Kubernetes API.
    #[must_use]
    pub const fn api_addresses() -> Addresses {
        API_ADDRESSES
    }
}

/// Words for `ip address add` that make an address usable at once: without duplicate address detection.
const fn without_dad(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "",
        IpAddr::V6(_) => " nodad",
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
