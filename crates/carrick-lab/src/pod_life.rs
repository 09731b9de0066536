//! How long many pods take to come and to go on a real cluster, with Carrick's plugin and with the reference plugins.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use serde_json::json;

use crate::cluster::IdlePods;
use crate::node::Node;
use crate::quantile::quantile;
use crate::topology::{DEMO, Kubernetes};
use crate::{Lab, Topology, wait};

/// Where nodes have their plugins, and their configurations.
const PLUGINS: &str = "/opt/cni/bin";
/// Sorts before Carrick's.
const CONFIGURATION: &str = "/etc/cni/net.d/00-reference.conflist";
const REFERENCE_PROGRAMS: [&str; 3] = ["bridge", "host-local", "portmap"];

/// Who attaches the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plugin {
    /// `carrick-cni`, as the agent configures it.
    Carrick,
    /// The reference plugins `bridge` with `host-local`, and `portmap` behind them.
    Bridge,
}

impl Plugin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Carrick, Self::Bridge];

    fn owns(self, address: IpAddr) -> bool {
        let reference = match address {
            IpAddr::V4(address) => reference_v4().contains(&address),
            IpAddr::V6(address) => reference_v6().contains(&address),
        };
        reference == (self == Self::Bridge)
    }
}

/// One life of all pods.
#[derive(Debug, Serialize)]
pub struct Life {
    /// Who attached them.
    pub plugin: Plugin,
    /// From the wish to the last pod that is ready.
    pub ready_seconds: f64,
    /// From the wish to the last network device that is gone from its node.
    pub gone_seconds: f64,
}

/// Brings up a cluster and lets so many pods come and go, in turn with each plugin.
///
/// # Errors
/// The cluster does not come up, or its pods do not.
pub fn measure(reference: &Path, pods: usize, rounds: usize) -> Result<Vec<Life>> {
    let mut topology = Topology::parse(DEMO)?;
    topology.kubernetes = Kubernetes::Cluster;
    let lab = Lab::up(&topology)?;
    for node in lab.nodes() {
        furnish(node, reference)?;
    }
    let idle_pods = IdlePods::create(lab.kubernetes(), lab.state().path(), "life")?;
    let others = devices(&lab)?;
    let mut lives = Vec::new();
    for round in 0..rounds {
        // Whoever comes second may find things done already.
        let mut order = Plugin::ALL;
        order.rotate_left(round % Plugin::ALL.len());
        for plugin in order {
            choose(&lab, &idle_pods, plugin)?;
            let life = live(&lab, &idle_pods, &others, (plugin, pods))?;
            tracing::info!(
                event = "pods_lived",
                ?plugin,
                pods,
                ready_seconds = life.ready_seconds,
                gone_seconds = life.gone_seconds
            );
            lives.push(life);
        }
    }
    Ok(lives)
}

/// The median of a time with Carrick's plugin, in shares of that with the reference plugins.
///
/// # Errors
/// One of them has no life.
pub fn ratio(lives: &[Life], time: fn(&Life) -> f64) -> Result<f64> {
    let median = |plugin| {
        let times: Vec<f64> = lives.iter().filter(|life| life.plugin == plugin).map(time).collect();
        quantile(&times, 0.5).with_context(|| format!("no pods lived with {plugin:?}"))
    };
    Ok(median(Plugin::Carrick)? / median(Plugin::Bridge)?)
}

/// `others` are the devices of pods that stay.
fn live(lab: &Lab, idle_pods: &IdlePods<'_>, others: &[usize], (plugin, pods): (Plugin, usize)) -> Result<Life> {
    let all_gone = || Ok((devices(lab)? == others).then_some(()));
    wait::until("the devices of earlier pods to be gone", all_gone)?;
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
    wait::until("the last network device of a pod to be gone", all_gone)?;
    Ok(Life { plugin, ready_seconds, gone_seconds: began.elapsed().as_secs_f64() })
}

/// Has containerd use a plugin from now on: it looks at the directory of configurations on its own.
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

/// How many devices of pods each node has, of whatever plugin.
fn devices(lab: &Lab) -> Result<Vec<usize>> {
    let is_of_pod = |name: &&str| name.starts_with("crk") || name.starts_with("veth");
    lab.nodes().map(|node| Ok(node.exec(&["ls", "/sys/class/net"])?.lines().filter(is_of_pod).count())).collect()
}

fn furnish(node: &Node, reference: &Path) -> Result<()> {
    for program in REFERENCE_PROGRAMS {
        let from: PathBuf = reference.join(program);
        let to = node.path(PLUGINS)?.join(program);
        std::fs::copy(&from, to).with_context(|| format!("give {} {}", node.name(), from.display()))?;
    }
    Ok(())
}

/// What flannel and others have for a node, with the networks of [`reference_v4`] and [`reference_v6`].
fn configuration(node: u16) -> String {
    let [v4, v6] = [format!("10.77.{node}.0/24"), format!("fd77:0:0:{node:x}::/64")];
    let bridge = json!({
        "type": "bridge", "bridge": "reference0", "isDefaultGateway": true, "hairpinMode": true,
        "ipam": { "type": "host-local", "dataDir": "/run/reference", "ranges": [[{ "subnet": v4 }], [{ "subnet": v6 }]] },
    });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    json!({ "cniVersion": "1.0.0", "name": "reference", "plugins": [bridge, portmap] }).to_string()
}

const fn reference_v4() -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 77, 0, 0), 16)
}

const fn reference_v6() -> Ipv6Net {
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0), 48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared() {
        let life = |plugin, ready_seconds| Life { plugin, ready_seconds, gone_seconds: 0.0 };
        let lives = [(Plugin::Carrick, 3.0), (Plugin::Bridge, 8.0), (Plugin::Carrick, 1.0), (Plugin::Carrick, 2.0)]
            .map(|(plugin, seconds)| life(plugin, seconds));
        assert_eq!(ratio(&lives, |life| life.ready_seconds).unwrap(), 0.25);
        assert!(ratio(&lives[..1], |life| life.ready_seconds).is_err());
    }

    #[test]
    fn a_pods_address_tells_who_attached_it() {
        for address in ["10.77.3.9", "fd77:0:0:3::9"] {
            assert!(Plugin::Bridge.owns(address.parse().unwrap()) && !Plugin::Carrick.owns(address.parse().unwrap()));
        }
        for address in ["10.42.3.9", "fd42:0:0:3::9"] {
            assert!(Plugin::Carrick.owns(address.parse().unwrap()) && !Plugin::Bridge.owns(address.parse().unwrap()));
        }
    }
}
