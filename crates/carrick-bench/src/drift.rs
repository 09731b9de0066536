//! How long the agent takes to put right what another program deleted or changed.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use carrick_lab::lab::Lab;
use carrick_lab::namespace::Namespaces;
use carrick_lab::topology::Topology;
use carrick_lab::wait;
use serde::Serialize;

use crate::quantile::quantile;

/// The node under test is a gateway with a neighbour in its location.
const CLOUDS: &str = "
locations:
  - {name: a, nodes: [{name: a1, pods: 2}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";
const NODE: &str = "a1";
/// Drift at random moments: the time between two is at most this.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_600);
/// A repair that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// One change by hand.
#[derive(Debug, Clone, Copy)]
pub struct Disturbance {
    /// What is deleted or changed.
    pub object: &'static str,
    /// How, as a shell script on the node.
    pub change: &'static str,
    /// Shows the object: a shell script whose output is the same again after the repair.
    pub show: &'static str,
}

/// The repairs of one disturbance, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// What was deleted or changed.
    pub object: &'static str,
    /// The number of repairs.
    pub runs: usize,
    /// Half of the repairs took at most this long.
    pub p50_ms: f64,
    /// 95 % of the repairs took at most this long.
    pub p95_ms: f64,
    /// The longest repair.
    pub max_ms: f64,
}

const ROUTES: &str = "ip -4 route show table 1107 | sort";
const ROUTES_V6: &str = "ip -6 route show table 1107 | sort";
const NEIGHBOURS: &str = "ip neighbour show dev carrick-vx nud permanent | sort";
const FORWARDING: &str = "bridge fdb show dev carrick-vx | sort";
const TABLE: &str = "nft --stateless list table inet carrick";
const POD_TABLE: &str = "nft --stateless list table inet carrick-cni";
const PEERS: &str = "wg show carrick0 allowed-ips | tr ' ' '\\n' | sort; wg show carrick0 peers | sort";
const POD_ROUTES: &str = "ip -4 route show proto 108 | sort; ip -6 route show proto 108 | sort";

/// Every kind of object that the agent writes, deleted and changed.
pub const DISTURBANCES: [Disturbance; 30] = [
    of(
        "route, deleted",
        "ip route del $(ip -4 route show table 1107 | grep 'metric 100 ' | head -1 | cut -d' ' -f1) table 1107 metric 100",
        ROUTES,
    ),
    of(
        "route, replaced",
        "ip route replace blackhole $(ip -4 route show table 1107 | grep 'metric 100 ' | head -1 | cut -d' ' -f1) table 1107 metric 100",
        ROUTES,
    ),
    of("route, stray in Carrick's table", "ip route add blackhole 10.99.0.0/16 table 1107", ROUTES),
    of(
        "IPv6 route, deleted",
        "ip -6 route del $(ip -6 route show table 1107 | grep -v unreachable | head -1 | cut -d' ' -f1) table 1107 metric 100",
        ROUTES_V6,
    ),
    of("all routes, deleted", "ip route flush table 1107; ip -6 route flush table 1107", ROUTES),
    of("rule, deleted", "ip rule del priority 1107", "ip rule"),
    of("IPv6 rule, deleted", "ip -6 rule del priority 1107", "ip -6 rule"),
    of(
        "rule, changed",
        "ip rule add to 10.9.0.0/16 lookup 1107 priority 1107 protocol 107; ip rule del priority 1107 not fwmark 0x1000/0x1000",
        "ip rule",
    ),
    of("address, deleted", "ip addr flush dev carrick0 scope global", "ip -br addr show dev carrick0"),
    of("address, stray", "ip addr add 10.99.0.1/24 dev carrick0", "ip -br addr show dev carrick0"),
    of("WireGuard device, down", "ip link set carrick0 down", "ip -br link show carrick0"),
    of("WireGuard device, MTU", "ip link set carrick0 mtu 1300", "ip link show carrick0 | grep -o 'mtu [0-9]*'"),
    of(
        "VXLAN device, down",
        "ip link set carrick-vx down",
        "ip -br link show carrick-vx; ip -4 route show table 1107 | sort",
    ),
    of(
        "VXLAN device, deleted",
        "ip link del carrick-vx",
        "ip -d link show carrick-vx | grep -o 'vxlan id.*dstport [0-9]*'; bridge fdb show dev carrick-vx | sort",
    ),
    of(
        "VXLAN device, Ethernet address",
        "ip link set carrick-vx address 02:00:00:00:00:01",
        "ip -br link show carrick-vx | cut -c1-60",
    ),
    of("neighbour, deleted", "ip neighbour flush dev carrick-vx nud permanent", NEIGHBOURS),
    of(
        "neighbour, changed",
        "ip neighbour replace $(ip -4 neighbour show dev carrick-vx nud permanent | head -1 | cut -d' ' -f1) lladdr 02:00:00:00:00:09 dev carrick-vx nud permanent",
        NEIGHBOURS,
    ),
    of(
        "forwarding entry, deleted",
        "bridge fdb show dev carrick-vx | while read mac rest; do bridge fdb del $mac dev carrick-vx; done",
        FORWARDING,
    ),
    of("forwarding entry, stray", "bridge fdb append 02:00:00:00:00:66 dev carrick-vx dst 192.0.2.66", FORWARDING),
    of("nftables table, deleted", "nft delete table inet carrick", TABLE),
    of("nftables rule, stray", "nft insert rule inet carrick forward drop", TABLE),
    of("plugin's nftables table, deleted", "nft delete table inet carrick-cni", POD_TABLE),
    of("WireGuard peer, deleted", "wg set carrick0 peer $(wg show carrick0 peers | head -1) remove", PEERS),
    of("WireGuard peer, stray", "wg set carrick0 peer $(wg genkey | wg pubkey) allowed-ips 10.98.0.0/16", PEERS),
    of("ip_forward, off", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -n net.ipv4.ip_forward"),
    of(
        "rp_filter of the VXLAN device, strict",
        "sysctl -qw net.ipv4.conf.carrick-vx.rp_filter=1",
        "sysctl -n net.ipv4.conf.carrick-vx.rp_filter",
    ),
    of(
        "pod's device, down and up",
        "d=$(ip -o link | grep -o 'crk[0-9a-f]*' | head -1); ip link set $d down; ip link set $d up",
        POD_ROUTES,
    ),
    of(
        "pod's fe80::1, deleted",
        "d=$(ip -o link | grep -o 'crk[0-9a-f]*' | head -1); ip addr del fe80::1/64 dev $d",
        "ip -br -6 addr | grep -c fe80::1/64",
    ),
    of(
        "pod's neighbours, deleted",
        "d=$(ip -o link | grep -o 'crk[0-9a-f]*' | head -1); ip neighbour flush dev $d nud permanent",
        "ip neighbour show nud permanent | grep crk | sort",
    ),
    of("pod's routes, deleted", "ip route flush proto 108; ip -6 route flush proto 108", POD_ROUTES),
];

const fn of(object: &'static str, change: &'static str, show: &'static str) -> Disturbance {
    Disturbance { object, change, show }
}

/// Makes each of the disturbances `runs` times at random moments on a node under a running agent, and measures the repairs.
///
/// # Errors
/// The lab does not come up, a change cannot be made, or a repair does not come.
pub fn measure(runs: usize, disturbances: &[Disturbance]) -> Result<Vec<Measurement>> {
    let topology = Topology::parse(CLOUDS).context("the benchmark's clouds")?;
    let lab = Lab::up(&topology)?;
    lab.nodes().try_for_each(|node| node.await_agent())?;
    let node = lab.node(NODE)?.namespaces()?;
    wait::until("the routes of the mesh in both families", || {
        let count =
            |routes: &str| Ok::<_, anyhow::Error>(node.exec(&["sh", "-c", routes])?.matches("metric 100 ").count());
        Ok((count(ROUTES)? > 3 && count(ROUTES_V6)? > 3).then_some(()))
    })?;
    let mut samples = vec![Vec::new(); disturbances.len()];
    for _ in 0..runs {
        for (disturbance, samples) in disturbances.iter().zip(&mut samples) {
            std::thread::sleep(random_pause());
            samples.push(repair(&node, disturbance)?.as_secs_f64() * 1_000.0);
        }
    }
    let measurement = |(disturbance, samples): (&Disturbance, &Vec<f64>)| {
        let share = |share| quantile(samples, share).unwrap_or_default();
        let [p50_ms, p95_ms, max_ms] = [0.5, 0.95, 1.0].map(share);
        Measurement { object: disturbance.object, runs: samples.len(), p50_ms, p95_ms, max_ms }
    };
    Ok(disturbances.iter().zip(&samples).map(measurement).collect())
}

/// Makes one disturbance, and returns after what time the kernel was seen repaired: the repair and a look.
fn repair(node: &Namespaces, disturbance: &Disturbance) -> Result<Duration> {
    let show = || node.exec(&["sh", "-c", &format!("{} 2>&1 || true", disturbance.show)]);
    let before = show()?;
    node.exec(&["sh", "-ec", disturbance.change]).with_context(|| format!("disturb: {}", disturbance.object))?;
    let start = Instant::now();
    loop {
        let shown = show()?;
        let elapsed = start.elapsed();
        if shown == before {
            return Ok(elapsed);
        }
        if elapsed > PATIENCE {
            bail!("{}: not repaired after {elapsed:.1?}; it was\n{before}\nand is\n{shown}", disturbance.object);
        }
    }
}

fn random_pause() -> Duration {
    let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    LONGEST_PAUSE.mul_f64(f64::from(nanoseconds % 1_000_003) / 1_000_003.0)
}
