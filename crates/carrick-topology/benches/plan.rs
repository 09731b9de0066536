//! `plan()` for one node of a large cluster, in each granularity.
//!
//! To reach: under 5 ms for 1,000 nodes in 20 locations, under 40 ms for 5,000 in 100.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_topology::Liveness;
use carrick_topology::model::{Endpoint, Granularity, InternalAddresses, Node, PublicKey, Settings};
use carrick_topology::{Cluster, plan};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Dual stack; one node in ten is behind NAT.
fn cluster(nodes: u32, locations: u32) -> Cluster {
    let mut cluster = Cluster::default();
    for number in 0..nodes {
        cluster.insert_node(node(number, number % locations, number / locations));
    }
    cluster
}

/// A node with its place in its location, which has a subnet of its own.
fn node(number: u32, location: u32, place: u32) -> Node {
    let mut node = Node::new(format!("node-{number:05}").parse().unwrap(), i64::from(number));
    let mut key = [1; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    node.public_key = Some(PublicKey::from_bytes(key));
    node.location = Some(format!("location-{location}").parse().unwrap());
    let low = u16::try_from(number).unwrap();
    let v4 = |base: u32, offset: u32| IpAddr::V4(Ipv4Addr::from_bits(base + offset));
    let v6 = |prefix: u16| IpAddr::V6(Ipv6Addr::new(prefix, 0, 0, low, 0, 0, 0, 1));
    let pods_v4 = Ipv4Net::new(Ipv4Addr::from_bits(0x0b00_0000 + number * 256), 24).unwrap();
    let pods_v6 = Ipv6Net::new(Ipv6Addr::new(0xfd42, 0, 0, low, 0, 0, 0, 0), 64).unwrap();
    node.pod_cidrs = [IpNet::V4(pods_v4), IpNet::V6(pods_v6)].into();
    let mesh_v6 = Ipv6Addr::new(0xfdca, 0x7272, 0x6963, 0x6b00, 0, 0, 0, low + 1);
    node.mesh_addresses = [v4(0x0a04_0001, number), IpAddr::V6(mesh_v6)].into();
    let internal_v4 = IpNet::new(v4(0xac10_0000 + location * 256, place + 1), 24).unwrap();
    let internal_v6 = IpNet::new(v6(0xfd99), 64).unwrap();
    node.internal_addresses = InternalAddresses::Advertised([internal_v4, internal_v6].into());
    if number % 10 == 7 {
        node.persistent_keepalive = Some(25);
    } else {
        node.advertised_endpoints =
            [Endpoint::at(v4(0x2e00_0000, number), 51820), Endpoint::at(v6(0x2a01), 51820)].into();
    }
    node
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(20);
    let me = "node-00000".parse().unwrap();
    for (nodes, locations) in [(1000, 20), (5000, 100)] {
        let cluster = cluster(nodes, locations);
        for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
            let settings = Settings { granularity, ..Settings::default() };
            let warnings = plan(&cluster, &settings, &Liveness::default(), &me).unwrap().warnings;
            assert!(warnings.is_empty(), "warnings cost time: {warnings:?}");
            let id = BenchmarkId::new(granularity.to_string(), format!("{nodes} nodes in {locations} locations"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| plan(black_box(&cluster), &settings, &Liveness::default(), &me).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
