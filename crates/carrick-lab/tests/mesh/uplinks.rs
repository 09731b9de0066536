//! Captures on the uplinks of nodes and routers, in which no marked packet may be in clear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_lab::address::Family;
use carrick_lab::capture::marked::{MARK_BYTES, MarkedCapture, MarkedFrame};
use carrick_topology::constants::VXLAN_PORT;

use crate::mesh::Mesh;
use crate::spoofing::mac_of;

/// The internal and Ethernet addresses of the nodes of a location, also of those that are gone.
#[derive(Default)]
struct Members {
    internal: BTreeSet<(String, IpAddr)>,
    ethernet: BTreeSet<(String, [u8; 6])>,
}

impl Members {
    fn add(&mut self, mesh: &Mesh, node: &str) {
        let location = &mesh.node(node).unwrap().layout().location;
        let internal = Family::BOTH.map(|family| (location.clone(), mesh.internal_address(node, family)));
        self.internal.extend(internal);
        self.ethernet.insert((location.clone(), mac_of(&mesh.node_namespaces(node), "eth0")));
    }

    /// VXLAN between internal addresses of the location, or a packet that one of its nodes sends to another one.
    fn is_inside(&self, location: &str, frame: &MarkedFrame) -> bool {
        let is_internal = |address| self.internal.contains(&(location.to_owned(), address));
        let is_vxlan = frame.udp_port == Some(VXLAN_PORT)
            && frame.addresses.is_some_and(|(from, to)| is_internal(from) && is_internal(to));
        let is_node = |address| self.ethernet.contains(&(location.to_owned(), address));
        is_vxlan || (is_node(frame.from) && is_node(frame.to))
    }
}

/// How packets between nodes of one location may travel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// In clear, in VXLAN or without.
    Clear,
    /// Through tunnels only.
    Encrypted,
}

impl Inside {
    pub fn of(granularity: &str) -> Self {
        if granularity == "full" { Self::Encrypted } else { Self::Clear }
    }
}

/// The captures on the uplinks of nodes and routers.
pub struct Uplinks {
    /// With the location whose network the uplink leads into; `None` for the internet.
    captures: BTreeMap<String, (Option<String>, MarkedCapture)>,
    members: Members,
    inside: Inside,
    mark: [u8; MARK_BYTES],
}

impl Uplinks {
    pub fn new(inside: Inside, mark: [u8; MARK_BYTES]) -> Self {
        Self { captures: BTreeMap::new(), members: Members::default(), inside, mark }
    }

    pub fn add_router(&mut self, mesh: &Mesh, location: &str) {
        let capture = MarkedCapture::start(mesh.site(location).unwrap().router(), "wan0").unwrap();
        self.captures.insert(format!("the router of {location}"), (None, capture));
    }

    pub fn add_node(&mut self, mesh: &Mesh, node: &str) {
        let location = mesh.node(node).unwrap().layout().location.clone();
        let capture = MarkedCapture::start(&mesh.node_namespaces(node), "eth0").unwrap();
        self.captures.insert(node.to_owned(), (Some(location), capture));
        self.members.add(mesh, node);
    }

    /// Ends a capture and checks its frames.
    pub fn check(&mut self, uplink: &str) {
        let (location, capture) = self.captures.remove(uplink).unwrap();
        let frames = capture.stop(&self.mark).unwrap();
        let location = location.filter(|_| self.inside == Inside::Clear);
        let is_inside = |frame: &MarkedFrame| location.as_ref().is_some_and(|name| self.members.is_inside(name, frame));
        let in_clear: Vec<_> = frames.into_iter().filter(|frame| !is_inside(frame)).collect();
        assert!(in_clear.is_empty(), "{uplink}: {in_clear:#?}");
    }
    /// Ends all captures and checks their frames.
    pub fn check_all(mut self) {
        for uplink in self.captures.keys().cloned().collect::<Vec<_>>() {
            self.check(&uplink);
        }
    }
}
