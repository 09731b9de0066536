//! The firewall of one node among 1,000 and 5,000, in a network namespace of its own.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::process::{Command, Stdio};

use carrick_dataplane::firewall::{Firewall, ruleset};
use carrick_topology::plan::FirewallPlan;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::sched::{CloneFlags, unshare};

fn pod_networks(node: u32) -> [IpNet; 2] {
    // Every second network, so that none can be joined.
    let ipv4 = Ipv4Net::new((0x0a00_0000 + node * 512).into(), 24).unwrap();
    let ipv6 = Ipv6Net::new(((0xfd00 << 112) + (u128::from(node) << 65)).into(), 64).unwrap();
    [ipv4.into(), ipv6.into()]
}

fn plan(nodes: u32) -> FirewallPlan {
    let carried = || (1..nodes).flat_map(pod_networks);
    FirewallPlan {
        vxlan_port: 51822,
        mesh_addresses: [[10, 4, 0, 1].into()].into(),
        own_pods: pod_networks(0).into(),
        pod_device_prefix: Some("crk".to_owned()),
        carried: carried().collect(),
        carried_by: [("carrick0".parse().unwrap(), carried().collect())].into(),
        firewall_mark: 0x1000,
        ..FirewallPlan::default()
    }
}

fn nft(words: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut nft.stdin.take().unwrap(), words.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

/// As many chains as kube-proxy makes for 2,500 Services.
fn kube_proxy() -> String {
    let chains: String =
        (0..10_000).map(|index| format!("chain KUBE-SVC-{index:016} {{ counter comment \"a rule\"; }}\n")).collect();
    format!("table ip nat {{ {chains} }}")
}

fn firewall(criterion: &mut Criterion) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for nodes in [1_000, 5_000] {
        let (small, large) = (plan(nodes), plan(nodes + 1));
        criterion.bench_function(&format!("ruleset of {nodes} nodes"), |bencher| bencher.iter(|| ruleset(&small)));
        criterion.bench_function(&format!("{nodes} nodes from nothing"), |bencher| {
            let empty = || {
                let mut firewall = Firewall::open().unwrap();
                firewall.cleanup().unwrap();
                firewall
            };
            bencher.iter_batched(empty, |mut firewall| firewall.apply(&small).unwrap(), BatchSize::PerIteration);
        });
        let mut firewall = Firewall::open().unwrap();
        criterion.bench_function(&format!("one node more, one less, among {nodes}"), |bencher| {
            bencher.iter(|| (firewall.apply(&large).unwrap(), firewall.apply(&small).unwrap()));
        });
        criterion.bench_function(&format!("{nodes} nodes unchanged"), |bencher| {
            bencher.iter(|| firewall.apply(&small).unwrap());
        });
        criterion.bench_function(&format!("{nodes} nodes unchanged, read again"), |bencher| {
            let fresh = || Firewall::open().unwrap();
            bencher.iter_batched(fresh, |mut firewall| firewall.apply(&small).unwrap(), BatchSize::PerIteration);
        });
    }
    nft(&kube_proxy());
    let small = plan(1_000);
    Firewall::open().unwrap().apply(&small).unwrap();
    criterion.bench_function("1000 nodes unchanged, read again beside kube-proxy", |bencher| {
        let fresh = || Firewall::open().unwrap();
        bencher.iter_batched(fresh, |mut firewall| firewall.apply(&small).unwrap(), BatchSize::PerIteration);
    });
}

criterion_group!(benches, firewall);
criterion_main!(benches);
