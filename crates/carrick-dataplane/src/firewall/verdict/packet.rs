//! The packets of pods, as far as they are known beforehand.

use carrick_netlink::Family;
use carrick_netlink::nftables::{ConntrackKey, ConntrackState, Header, MetaKey, UDP};
use carrick_topology::plan::FirewallPlan;
use ipnet::IpNet;

use super::bytes::Bytes;

const TCP: u8 = 6;
const DEVICE_NAME_LENGTH: usize = 16;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// The first packet of a connection, or one of those that this node does not track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) family: Family,
    state: ConntrackState,
    protocol: u8,
    input: Device,
    output: Device,
    source: Option<IpNet>,
    destination: Option<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Device {
    /// With this name.
    Named(String),
    /// With a name that begins so.
    Prefixed(String),
    Unknown,
}

/// The first packets of connections that take the same way: one of TCP and one of UDP. A chain that drops one of both does so on purpose.
pub(crate) type Way = [Packet; 2];

/// Ways between two pods of the node, from a pod into the mesh, out of the mesh to a pod, and between pods of other nodes.
pub(crate) fn packets_of_pods(plan: &FirewallPlan) -> Vec<Way> {
    let pods = plan.pod_device_prefix.clone().map_or(Device::Unknown, Device::Prefixed);
    let mesh = [&plan.mesh_devices.wireguard, &plan.mesh_devices.vxlan];
    let mesh = mesh.map(|device| Device::Named(device.as_str().to_owned()));
    let mut ways = Vec::new();
    for own in &plan.own_pods {
        let way = |input: &Device, output: &Device, source, destination| {
            [TCP, UDP].map(|protocol| Packet {
                family: (*own).into(),
                state: ConntrackState::New,
                protocol,
                input: input.clone(),
                output: output.clone(),
                source,
                destination,
            })
        };
        ways.push(way(&pods, &pods, Some(*own), Some(*own)));
        for device in &mesh {
            ways.push(way(&pods, device, Some(*own), None));
            ways.push(way(device, &pods, None, Some(*own)));
        }
    }
    ways.extend(Family::BOTH.into_iter().filter(|family| is_between(plan, *family)).flat_map(|family| {
        let [wireguard, vxlan] = &mesh;
        [(wireguard, vxlan), (vxlan, wireguard)].map(|(input, output)| transit(family, input, output))
    }));
    ways
}

fn is_between(plan: &FirewallPlan, family: Family) -> bool {
    plan.transit.iter().any(|net| Family::from(*net) == family)
}

/// Untracked packets between other nodes.
fn transit(family: Family, input: &Device, output: &Device) -> Way {
    [TCP, UDP].map(|protocol| Packet {
        family,
        state: ConntrackState::Untracked,
        protocol,
        input: input.clone(),
        output: output.clone(),
        source: None,
        destination: None,
    })
}

impl Packet {
    pub(super) fn meta(&self, key: MetaKey) -> Bytes {
        match key {
            MetaKey::Family => Bytes::known(&[match self.family {
                Family::V4 => 2,
                Family::V6 => 10,
            }]),
            MetaKey::TransportProtocol => Bytes::known(&[self.protocol]),
            MetaKey::InputInterfaceName => self.input.name(),
            MetaKey::OutputInterfaceName => self.output.name(),
            MetaKey::Mark => Bytes::known(&[0; 4]),
            MetaKey::InputInterface | MetaKey::OutputInterface => Bytes::unknown(),
        }
    }

    pub(super) fn conntrack(&self, key: ConntrackKey) -> Bytes {
        match key {
            ConntrackKey::State => Bytes::known(&(self.state as u32).to_ne_bytes()),
            ConntrackKey::Direction if self.state != ConntrackState::Untracked => Bytes::known(&[0]),
            ConntrackKey::Direction | ConntrackKey::Status | ConntrackKey::Mark => Bytes::unknown(),
        }
    }

    pub(super) fn payload(&self, base: Header, offset: u32, length: u32) -> Bytes {
        let header = match base {
            Header::Network => self.header(),
            Header::Transport => Vec::new(),
        };
        let bytes = (offset..offset.saturating_add(length))
            .map(|at| usize::try_from(at).ok().and_then(|at| header.get(at).copied().flatten()));
        Bytes::partly(bytes.collect())
    }

    fn header(&self) -> Vec<Option<u8>> {
        let (length, protocol, source, destination) = match self.family {
            Family::V4 => (IPV4_HEADER, 9, 12, 16),
            Family::V6 => (IPV6_HEADER, 6, 8, 24),
        };
        let mut header = vec![None; length];
        header[protocol] = Some(self.protocol);
        for (at, network) in [(source, self.source), (destination, self.destination)] {
            for (byte, known) in network.map(known_bytes).into_iter().flatten().enumerate() {
                header[at + byte] = Some(known);
            }
        }
        header
    }
}

impl Device {
    fn name(&self) -> Bytes {
        match self {
            Self::Named(name) => {
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(DEVICE_NAME_LENGTH, 0);
                Bytes::known(&bytes)
            }
            Self::Prefixed(prefix) => {
                let mut bytes: Vec<Option<u8>> = prefix.bytes().map(Some).collect();
                bytes.resize(DEVICE_NAME_LENGTH, None);
                Bytes::partly(bytes)
            }
            Self::Unknown => Bytes::unknown(),
        }
    }
}

/// The bytes that all addresses of a network share.
fn known_bytes(network: IpNet) -> Vec<u8> {
    let octets = match network {
        IpNet::V4(network) => network.network().octets().to_vec(),
        IpNet::V6(network) => network.network().octets().to_vec(),
    };
    octets[..usize::from(network.prefix_len()) / 8].to_vec()
}
