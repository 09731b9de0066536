//! How long many pods take to start and to end on a real cluster, with Carrick's plugin and with the reference plugins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use carrick_lab::cluster::IdlePods;
use carrick_lab::lab::Lab;
use carrick_lab::node::Node;
use carrick_lab::topology::{DEMO, Kubernetes, Topology};
use carrick_lab::wait;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use serde_json::json;

use crate::quantile::quantile;

/// The directory of the CNI plugins on a node.
const PLUGIN_DIRECTORY: &str = "/opt/cni/bin";
/// The configuration of the reference plugins on a node. It sorts before Carrick's.
const CONFIGURATION: &str = "/etc/cni/net.d/00-reference.conflist";
const REFERENCE_PROGRAMS: [&str; 3] = ["bridge", "host-local", "portmap"];
/// The networks of the reference plugins.
const REFERENCE_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16);
const REFERENCE_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0), 48);

/// The plugin that attaches the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plugin {
    /// `carrick-cni`, as the agent configures it.
    Carrick,
    /// The reference plugin `bridge` with `host-local`, and then `portmap`.
    Bridge,
}

impl Plugin {
    /// All plugins.
    pub const ALL: [Self; 2] = [Self::Carrick, Self::Bridge];

    fn owns(self, address: IpAddr) -> bool {
        let of_reference = match address {
            IpAddr::V4(address) => REFERENCE_V4.contains(&address),
            IpAddr::V6(address) => REFERENCE_V6.contains(&address),
        };
        of_reference == (self == Self::Bridge)
    }
}

/// One round: all pods start, and all pods end.
#[derive(Debug, Serialize)]
pub struct Round {
    /// The plugin that attached the pods.
    pub plugin: Plugin,
    /// The time from the request to the last ready pod.
    pub ready_seconds: f64,
    /// The time from the request to the removal of the last network device from its node.
    pub gone_seconds: f64,
}

/// Brings up a cluster, and starts and ends this number of pods in each round, with each plugin in turn.
///
/// # Errors
/// The cluster or its pods do not come up.
pub fn measure(reference: &Path, pods: usize, rounds: usize) -> Result<Vec<Round>> {
    let mut topology = Topology::parse(DEMO)?;
    topology.kubernetes = Kubernetes::Cluster;
    let lab = Lab::up(&topology)?;
    for node in lab.nodes() {
        install_reference_plugins(node, reference)?;
    }
    let idle_pods = IdlePods::create(lab.kubernetes(), lab.state().path(), "churn")?;
    let other_devices = pod_devices(&lab)?;
    let mut results = Vec::new();
    for round in 0..rounds {
        // The plugin that comes second may find warm caches.
        let mut order = Plugin::ALL;
        order.rotate_left(round % Plugin::ALL.len());
        for plugin in order {
            choose(&lab, &idle_pods, plugin)?;
            let result = run(&lab, &idle_pods, &other_devices, (plugin, pods))?;
            tracing::info!(
                event = "round_ended",
                ?plugin,
                pods,
                ready_seconds = result.ready_seconds,
                gone_seconds = result.gone_seconds
            );
            results.push(result);
        }
    }
    Ok(results)
}

/// The median of a time with Carrick's plugin, divided by that with the reference plugins.
///
/// # Errors
/// There is no round of a plugin.
pub fn ratio(rounds: &[Round], time: fn(&Round) -> f64) -> Result<f64> {
    let median = |plugin| {
        let times: Vec<f64> = rounds.iter().filter(|round| round.plugin == plugin).map(time).collect();
        quantile(&times, 0.5).with_context(|| format!("there is no round of {plugin:?}"))
    };
    Ok(median(Plugin::Carrick)? / median(Plugin::Bridge)?)
}

/// `other_devices` is the number of devices of other pods on each node.
fn run(lab: &Lab, idle_pods: &IdlePods<'_>, other_devices: &[usize], (plugin, pods): (Plugin, usize)) -> Result<Round> {
    let are_gone = || Ok((pod_devices(lab)? == other_devices).then_some(()));
    wait::until("the removal of the devices of earlier pods", are_gone)?;
    let began = Instant::now();
    idle_pods.scale(pods)?;
    idle_pods.await_ready()?;
    let ready_seconds = began.elapsed().as_secs_f64();
    let addresses = idle_pods.addresses()?;
    ensure!(addresses.len() == 2 * pods, "{pods} pods have {} addresses instead of two each", addresses.len());
    for address in addresses {
        ensure!(plugin.owns(address), "{address} is not of {plugin:?}");
    }
    let began = Instant::now();
    idle_pods.scale(0)?;
    idle_pods.await_gone()?;
    wait::until("the removal of the last network device of a pod", are_gone)?;
    Ok(Round { plugin, ready_seconds, gone_seconds: began.elapsed().as_secs_f64() })
}

/// Makes containerd use a plugin from now on. containerd watches the directory of configurations.
fn choose(lab: &Lab, idle_pods: &IdlePods<'_>, plugin: Plugin) -> Result<()> {
    for node in lab.nodes() {
        let file = node.path(CONFIGURATION)?;
        match plugin {
            Plugin::Carrick if file.exists() => std::fs::remove_file(&file).context("remove a configuration")?,
            Plugin::Carrick => {}
            Plugin::Bridge => {
                std::fs::write(&file, configuration(node.layout().number)).context("write a configuration")?;
            }
        }
    }
    let nodes = lab.nodes().count();
    wait::until("pods of the chosen plugin", || {
        idle_pods.scale(nodes)?;
        idle_pods.await_ready()?;
        let addresses = idle_pods.addresses()?;
        idle_pods.scale(0)?;
        idle_pods.await_gone()?;
        Ok(addresses.iter().all(|address| plugin.owns(*address)).then_some(()))
    })
}

/// The number of pods' devices on each node, of either plugin.
fn pod_devices(lab: &Lab) -> Result<Vec<usize>> {
    let is_of_pod = |name: &&str| name.starts_with("crk") || name.starts_with("veth");
    lab.nodes().map(|node| Ok(node.exec(&["ls", "/sys/class/net"])?.lines().filter(is_of_pod).count())).collect()
}

fn install_reference_plugins(node: &Node, reference: &Path) -> Result<()> {
    for program in REFERENCE_PROGRAMS {
        let from: PathBuf = reference.join(program);
        let to = node.path(PLUGIN_DIRECTORY)?.join(program);
        std::fs::copy(&from, to).with_context(|| format!("copy {} to {}", from.display(), node.name()))?;
    }
    Ok(())
}

/// A node's configuration of the reference plugins, as flannel and others write it.
fn configuration(node: u16) -> String {
    let [v4, v6] = [format!("10.77.{node}.0/24"), format!("fd77:0:0:{node:x}::/64")];
    let bridge = json!({
        "type": "bridge", "bridge": "reference0", "isDefaultGateway": true, "hairpinMode": true,
        "ipam": { "type": "host-local", "dataDir": "/run/reference", "ranges": [[{ "subnet": v4 }], [{ "subnet": v6 }]] },
    });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    json!({ "cniVersion": "1.0.0", "name": "reference", "plugins": [bridge, portmap] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_compares_medians() {
        let round = |plugin, ready_seconds| Round { plugin, ready_seconds, gone_seconds: 0.0 };
        let rounds = [(Plugin::Carrick, 3.0), (Plugin::Bridge, 8.0), (Plugin::Carrick, 1.0), (Plugin::Carrick, 2.0)]
            .map(|(plugin, seconds)| round(plugin, seconds));
        assert_eq!(ratio(&rounds, |round| round.ready_seconds).unwrap(), 0.25);
        assert!(ratio(&rounds[..1], |round| round.ready_seconds).is_err());
    }

    #[test]
    fn a_pods_address_identifies_its_plugin() {
        for address in ["10.77.3.9", "fd77:0:0:3::9"] {
            assert!(Plugin::Bridge.owns(address.parse().unwrap()) && !Plugin::Carrick.owns(address.parse().unwrap()));
        }
        for address in ["10.42.3.9", "fd42:0:0:3::9"] {
            assert!(Plugin::Carrick.owns(address.parse().unwrap()) && !Plugin::Bridge.owns(address.parse().unwrap()));
        }
    }
}
