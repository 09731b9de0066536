//! A host that loses the address from which its agent talks to the API server, as when a DHCP server gives it another one. The kernel keeps the
//! TCP connections of the lost address, and no packet of theirs arrives any more.

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::wait;
use carrick_test_apiserver::Key;
use serde_json::json;

use crate::mesh::Mesh;

/// How long the agent may be without the API after it has its new address. Without the rule, its watches are silent for 100 s.
const LIMIT: Duration = Duration::from_secs(15);

/// A node, its old address with the length of its network, and the new one with the default route that it needs.
struct Renumbering<'m> {
    mesh: &'m Mesh,
    node: &'static str,
    old: String,
    new: String,
    default_route: String,
}

impl Renumbering<'_> {
    fn ip(&self, arguments: &str) {
        let command: Vec<&str> = ["ip"].into_iter().chain(arguments.split(' ')).collect();
        self.mesh.node_namespaces(self.node).exec(&command).unwrap();
    }

    fn remove_old(&self) {
        self.ip(&format!("address delete {} dev eth0", self.old));
    }

    fn add_new(&self) {
        let nodad = if self.new.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {} dev eth0{nodad}", self.new));
        self.ip(&format!("route replace default {}", self.default_route));
    }

    fn is_survived_at_once(&self) {
        self.mesh.all_reach();
        self.remove_old();
        self.add_new();
        self.await_api();
        self.mesh.all_reach();
    }

    fn addresses(&self) -> (String, String) {
        let address = |net: &str| net.split('/').next().unwrap().to_owned();
        (address(&self.old), address(&self.new))
    }

    /// The kubelet and the cloud's controller know the new address.
    fn update_node_status(&self) {
        let (old, new) = self.addresses();
        let mut addresses = self.mesh.kubernetes().node(self.node).unwrap()["status"]["addresses"].clone();
        for address in addresses.as_array_mut().unwrap() {
            if address["address"] == old {
                address["address"] = new.clone().into();
            }
        }
        let patch = json!({"status": {"addresses": addresses}});
        self.mesh.kubernetes().embedded().unwrap().patch_status(&Key::node(self.node), patch).unwrap();
    }

    /// The agent writes its new address to the API, and takes from the API what others write.
    fn await_api(&self) {
        let began = Instant::now();
        self.update_node_status();
        let (old, new) = self.addresses();
        wait::until("the new address at the API", || {
            let annotations = self.mesh.kubernetes().node(self.node)?["metadata"]["annotations"].clone();
            let shown = annotations["carrick.dev/advertised-endpoints"].to_string()
                + &annotations["carrick.dev/advertised-internal-addresses"].to_string();
            Ok((shown.contains(&new) && !shown.contains(&format!("{old}:")) && !shown.contains(&format!("[{old}]")))
                .then_some(()))
        })
        .unwrap();
        let published = began.elapsed();
        self.mesh.kubernetes().annotate(self.node, "carrick.dev/gatway", Some("never")).unwrap();
        wait::until("what the API tells", || {
            let warnings = self.mesh.warnings(self.node);
            Ok(warnings.iter().any(|warning| warning.contains("gatway")).then_some(()))
        })
        .unwrap();
        let took = began.elapsed();
        eprintln!("published after {} ms, told after {} ms", published.as_millis(), took.as_millis());
        assert!(took < LIMIT, "{took:?}: {:?}", self.mesh.logged(self.node, "addresses_lost"));
    }
}

const CLOUD_AND_HOME: &str = "
locations:
  - {name: a, nodes: [{name: a1}]}
  - {name: home, router: nat, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

#[test]
fn a_node_whose_public_ipv4_address_changes_talks_to_the_api_again_at_once() {
    let mesh = Mesh::up(CLOUD_AND_HOME);
    let router = mesh.site("a").unwrap().router();
    let inside = mesh.internal_address("a1", Family::V4).to_string();
    router.exec(&["ip", "route", "add", "198.51.100.9/32", "via", &inside]).unwrap();
    let change = Renumbering {
        mesh: &mesh,
        node: "a1",
        old: "198.51.100.2/28".into(),
        new: "198.51.100.9/28".into(),
        default_route: "via 198.51.100.1 dev eth0 onlink src 198.51.100.9".into(),
    };
    change.is_survived_at_once();
}

#[test]
fn a_node_with_ipv6_alone_whose_prefix_goes_at_once_talks_to_the_api_again_at_once() {
    let mesh = Mesh::up(
        "families: v6\nlocations: [{name: a, families: v6, nodes: [{name: a1}]}, {name: b, families: v6, nodes: [{name: b1}]}]",
    );
    let site = mesh.site("a").unwrap();
    let lan = &mesh.node("a1").unwrap().layout().lan;
    let (internet, router) = (mesh.internet().namespaces(), site.router());
    let inside = mesh.internal_address("a1", Family::V6).to_string();
    let uplink = carrick_lab::layout::UPLINK_LINK_LOCAL.1.to_string();
    internet.exec(&["ip", "route", "add", "2001:db8:aa07::/64", "via", &uplink, "dev", "a"]).unwrap();
    router.exec(&["ip", "route", "add", "2001:db8:aa07::5/128", "via", &inside, "dev", &lan.bridge]).unwrap();
    let old = mesh.node("a1").unwrap().layout().public.v6.unwrap();
    let change = Renumbering {
        mesh: &mesh,
        node: "a1",
        old: format!("{old}/128"),
        new: "2001:db8:aa07::5/128".into(),
        default_route: format!("via {} dev eth0 src 2001:db8:aa07::5", lan.gateway.v6.unwrap()),
    };
    change.is_survived_at_once();
}

#[test]
fn a_node_behind_nat_whose_lease_changes_talks_to_the_api_again_at_once() {
    let mesh = Mesh::up(CLOUD_AND_HOME);
    let old = mesh.internal_address("h1", Family::V4);
    let change = Renumbering {
        mesh: &mesh,
        node: "h1",
        old: format!("{old}/24"),
        new: "10.20.0.77/24".into(),
        default_route: "via 10.20.0.1 dev eth0".into(),
    };
    mesh.all_reach();
    change.remove_old();
    // The cable is out for a while.
    std::thread::sleep(Duration::from_secs(20));
    change.add_new();
    change.await_api();
    crate::mesh::all_reach(&mesh.pods_only());
}
