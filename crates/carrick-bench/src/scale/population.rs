//! The nodes of the cluster: the objects that kubelets, the controller manager and agents write.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use carrick_lab::topology::LOCATION_LABEL;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::Requests;

/// The name of the node that has an agent: number 0, in location 0.
pub(super) const OWN_NAME: &str = "node-00000";
/// Its internal address.
pub(super) const OWN_ADDRESS: Ipv4Addr = internal_address(0, 0);

/// How many requests run at the same time.
const PARALLEL: usize = 32;
/// The number of nodes of a location, if the cluster is large enough.
const NODES_PER_LOCATION: usize = 50;
/// The number of locations of a small cluster.
const LEAST_LOCATIONS: usize = 3;
/// The number of preferred gateways of a location: the active gateway and its standby.
const GATEWAYS: usize = 2;
/// How many images a kubelet reports (`nodeStatusMaxImages`).
const IMAGES: usize = 50;

/// The nodes of one cluster.
pub(super) struct Population {
    nodes: Vec<Node>,
    locations: usize,
    agent_annotation: String,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    number: usize,
    location: usize,
    /// The number of nodes before it in its location.
    place: usize,
    /// How often its endpoint has changed.
    moves: u16,
}

impl Population {
    /// This number of nodes, the one with an agent included, spread over locations.
    pub(super) fn new(nodes: usize) -> Self {
        let locations = (nodes / NODES_PER_LOCATION).max(LEAST_LOCATIONS);
        let mut population = Self { nodes: Vec::new(), locations, agent_annotation: String::new() };
        for _ in 0..nodes {
            population.add();
        }
        population
    }

    /// The number of locations.
    pub(super) const fn locations(&self) -> usize {
        self.locations
    }

    /// Sets the annotation `agent` of all other nodes.
    pub(super) fn set_agent_annotation(&mut self, value: &str) {
        value.clone_into(&mut self.agent_annotation);
    }

    /// Adds a node.
    pub(super) fn add(&mut self) -> Node {
        let number = self.nodes.len();
        let node = Node { number, location: number % self.locations, place: number / self.locations, moves: 0 };
        self.nodes.push(node.clone());
        node
    }

    /// The Node object of the node that has an agent, without the annotations that its agent writes.
    pub(super) fn own_node(&self) -> Value {
        self.nodes.first().map(Node::object).unwrap_or_default()
    }

    /// Creates all other nodes.
    pub(super) async fn create(&self, api: Arc<Requests>) -> Result<()> {
        let create = |node: &Node| {
            let (api, name, object, annotations) =
                (api.clone(), node.name(), node.object(), node.annotations(&self.agent_annotation));
            async move {
                api.create_node(&object).await?;
                api.publish(&name, &annotations).await
            }
        };
        stream::iter(self.nodes.iter().skip(1).map(create)).buffer_unordered(PARALLEL).try_collect().await
    }

    /// The names of all nodes.
    pub(super) fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.nodes.len()).map(name)
    }

    /// The pod CIDRs of all other nodes.
    pub(super) fn remote_pod_cidrs(&self) -> BTreeSet<String> {
        self.nodes.iter().skip(1).flat_map(Node::pod_cidrs).collect()
    }

    /// Changes the endpoint of an active gateway, of another location for each number.
    pub(super) fn move_gateway(&mut self, number: usize) -> Option<Node> {
        let location = 1 + number % (self.locations - 1);
        let gateway = self.nodes.iter_mut().find(|node| node.location == location)?;
        gateway.moves += 1;
        Some(gateway.clone())
    }

    /// The Node object with the annotations that its agent writes.
    pub(super) fn annotated_object(&self, node: &Node) -> Value {
        let mut object = node.object();
        if let (Some(all), Value::Object(own)) =
            (object["metadata"]["annotations"].as_object_mut(), self.annotations(node))
        {
            all.extend(own);
        }
        object
    }

    /// The annotations that a node's agent writes.
    pub(super) fn annotations(&self, node: &Node) -> Value {
        node.annotations(&self.agent_annotation)
    }
}

impl Node {
    pub(super) fn name(&self) -> String {
        name(self.number)
    }

    /// Whether it is in the location of the node that has an agent.
    pub(super) const fn is_in_own_location(&self) -> bool {
        self.location == 0
    }

    /// Its WireGuard public key: a number below 2^255 - 19, since other bytes are a second form of another key.
    pub(super) fn public_key(&self) -> [u8; 32] {
        let mut key: [u8; 32] = Sha256::digest(self.name()).into();
        key[31] &= 0x7f;
        key
    }

    /// The endpoint of its WireGuard device. Several nodes share an address, and no two share address and port.
    pub(super) fn endpoint(&self) -> String {
        let [_, _, address, place] = u32::try_from(self.number).unwrap_or_default().to_be_bytes();
        let port = 20_000 + u16::from(address) * 256 + self.moves;
        format!("198.51.100.{place}:{port}")
    }

    pub(super) fn pod_cidrs(&self) -> [String; 2] {
        let number = self.number;
        [format!("10.{}.{}.0/24", 128 + number / 256, number % 256), format!("fd42:0:0:{number:x}::/64")]
    }

    /// The object as the kubelet and the controller manager write it: about 10 kB.
    pub(super) fn object(&self) -> Value {
        let name = self.name();
        let mut labels = json!({
            "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/instance-type": "m5.xlarge", "node.kubernetes.io/instance-type": "m5.xlarge",
            "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("location-{:03}-a", self.location),
            "failure-domain.beta.kubernetes.io/zone": format!("location-{:03}-a", self.location),
        });
        labels[LOCATION_LABEL] = format!("location-{:03}", self.location).into();
        let mut annotations = json!({
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            "csi.volume.kubernetes.io/nodeid": format!("{{\"ebs.csi.aws.com\":\"i-{:017x}\"}}", self.number),
        });
        if self.place < GATEWAYS && (self.location != 0 || self.number == 0) {
            annotations["carrick.dev/gateway"] = "preferred".into();
        }
        let pod_cidrs = self.pod_cidrs();
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": labels, "annotations": annotations },
            "spec": {
                "podCIDR": pod_cidrs[0], "podCIDRs": pod_cidrs,
                "providerID": format!("aws:///location-{:03}-a/i-{:017x}", self.location, self.number),
            },
            "status": self.status(),
        })
    }

    /// The annotations that its agent writes.
    fn annotations(&self, agent: &str) -> Value {
        let internal = internal_address(self.location, self.place);
        let number = self.number + 1;
        json!({
            "carrick.dev/public-key": BASE64_STANDARD.encode(self.public_key()),
            "carrick.dev/pod-cidrs": self.pod_cidrs().join(","),
            "carrick.dev/mesh-addresses":
                format!("10.4.{}.{},fdca:7272:6963:6b00::{number:x}", number / 256, number % 256),
            "carrick.dev/advertised-endpoints": self.endpoint(),
            "carrick.dev/advertised-internal-addresses": format!("{internal}/20"),
            "carrick.dev/agent": agent,
        })
    }

    fn status(&self) -> Value {
        let resources = json!({
            "cpu": "4", "ephemeral-storage": "83873772Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
            "memory": "16074820Ki", "pods": "110", "attachable-volumes-aws-ebs": "25",
        });
        json!({
            "addresses": [
                { "type": "InternalIP", "address": internal_address(self.location, self.place).to_string() },
                { "type": "ExternalIP", "address": format!("198.51.100.{}", self.number % 256) },
                { "type": "Hostname", "address": self.name() },
            ],
            "allocatable": resources, "capacity": resources,
            "conditions": conditions(&jiff::Timestamp::now().to_string()),
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
            "images": images(),
            "nodeInfo": {
                "architecture": "amd64", "bootID": format!("00000000-0000-0000-0000-{:012x}", self.number),
                "containerRuntimeVersion": "containerd://2.0.5", "kernelVersion": "6.12.0", "kubeProxyVersion": "",
                "kubeletVersion": "v1.33.1", "machineID": format!("{:032x}", self.number), "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 13", "systemUUID": format!("{:032x}", self.number),
            },
        })
    }
}

/// The conditions that a kubelet reports at a time.
pub(super) fn conditions(time: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": time, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!([
        condition("NetworkUnavailable", "False", "CarrickIsUp", "the mesh is up on this node"),
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}

fn images() -> Value {
    let image = |number: usize| {
        let digest: String = Sha256::digest(number.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "names": [
                format!("registry.example.com/team/service-{number}@sha256:{digest}"),
                format!("registry.example.com/team/service-{number}:v1.{number}.0"),
            ],
            "sizeBytes": 40_000_000 + number,
        })
    };
    (0..IMAGES).map(image).collect()
}

fn name(number: usize) -> String {
    format!("node-{number:05}")
}

/// Each location has a /20 of 172.16.0.0/12, with an address for each node.
const fn internal_address(location: usize, place: usize) -> Ipv4Addr {
    const FIRST: u32 = u32::from_be_bytes([172, 16, 0, 10]);
    Ipv4Addr::from_bits(FIRST + ((location as u32) << 12) + place as u32)
}

#[cfg(test)]
mod tests {
    use carrick_types::PublicKey;

    use super::*;

    #[test]
    fn no_two_nodes_have_a_value_in_common() {
        let population = Population::new(5100);
        assert_eq!(population.locations(), 102);
        let mut claims = BTreeSet::new();
        for node in &population.nodes {
            let annotations = population.annotations(node);
            for key in ["public-key", "pod-cidrs", "mesh-addresses", "advertised-endpoints"] {
                assert!(claims.insert(annotations[format!("carrick.dev/{key}")].to_string()), "{node:?} {key}");
            }
            assert!(claims.insert(annotations["carrick.dev/advertised-internal-addresses"].to_string()), "{node:?}");
        }
    }

    #[test]
    fn agents_accept_the_key_of_each_node() {
        for node in &Population::new(500).nodes {
            let key = BASE64_STANDARD.encode(node.public_key()).parse::<PublicKey>();
            assert_eq!(key, Ok(PublicKey::from_bytes(node.public_key())), "{node:?}");
        }
    }

    #[test]
    fn a_node_object_has_the_size_of_a_real_one() {
        let size = Population::new(5).nodes[3].object().to_string().len();
        assert!((10_000..14_000).contains(&size), "{size}");
    }

    #[test]
    fn a_gateway_moves_to_an_unused_endpoint() {
        let mut population = Population::new(5);
        let before: BTreeSet<_> = population.nodes.iter().map(Node::endpoint).collect();
        let moved: Vec<_> = (0..3).map(|number| population.move_gateway(number).unwrap()).collect();
        assert_eq!(moved.iter().map(Node::name).collect::<Vec<_>>(), ["node-00001", "node-00002", "node-00001"]);
        assert!(moved.iter().all(|node| !before.contains(&node.endpoint())));
        assert_ne!(moved[0].endpoint(), moved[2].endpoint());
    }
}
