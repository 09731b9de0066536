//! The result of ADD, in the format of each version.

use std::net::IpAddr;
use std::path::PathBuf;

use carrick_netlink::MacAddress;
use carrick_pods::cni_version::Version;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

/// The result of ADD (CNI specification 1.1.0, section 5, "ADD Success").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddResult {
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// The pod's addresses.
    pub addresses: Vec<Address>,
    /// The pod's routes.
    pub routes: Vec<Route>,
    /// The `dns` of the configuration.
    pub dns: Option<Value>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The name of the interface.
    pub name: String,
    /// The MAC address.
    pub mac: MacAddress,
    /// The MTU in bytes. Results have it from version 1.1.0 on.
    pub mtu: u32,
    /// The path of the interface's network namespace; `None` for the host's.
    pub sandbox: Option<PathBuf>,
}

/// An address of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address and its prefix length.
    pub network: IpNet,
    /// The gateway of the default route.
    pub gateway: IpAddr,
    /// The index of the interface with this address.
    pub interface: usize,
}

/// A route of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination.
    pub destination: IpNet,
    /// The next hop.
    pub gateway: IpAddr,
}

impl AddResult {
    pub(crate) fn to_json(&self, version: Version) -> Value {
        let mut result = json!({
            "cniVersion": version,
            "interfaces": self.interfaces.iter().map(|interface| interface.to_json(version)).collect::<Value>(),
            "ips": self.addresses.iter().map(|address| address.to_json(version)).collect::<Value>(),
            "routes": self.routes.iter().map(Route::to_json).collect::<Value>(),
        });
        if let Some(dns) = &self.dns {
            result["dns"] = dns.clone();
        }
        result
    }
}

impl Interface {
    fn to_json(&self, version: Version) -> Value {
        let mut interface = Map::new();
        interface.insert("name".to_owned(), json!(self.name));
        interface.insert("mac".to_owned(), json!(self.mac.to_string()));
        if version >= Version::V1_1_0 {
            interface.insert("mtu".to_owned(), json!(self.mtu));
        }
        if let Some(sandbox) = &self.sandbox {
            interface.insert("sandbox".to_owned(), json!(sandbox.to_string_lossy()));
        }
        interface.into()
    }
}

impl Address {
    fn to_json(&self, version: Version) -> Value {
        let mut address = json!({ "address": self.network, "gateway": self.gateway, "interface": self.interface });
        if version < Version::V1_0_0 {
            address["version"] = json!(match self.network {
                IpNet::V4(_) => "4",
                IpNet::V6(_) => "6",
            });
        }
        address
    }
}

impl Route {
    fn to_json(&self) -> Value {
        json!({ "dst": self.destination, "gw": self.gateway })
    }
}
