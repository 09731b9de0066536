//! A probe and its answer between two nodes: made, received, answered, and the answer received. With the message authentication codes of
//! version 2 of the packets, and without them as in version 1. The difference is what the codes and the sessions cost both nodes together.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail wherever it likes")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carrick_probe::{Identity, Now, Outgoing, PathKind, Position, ProbeFormat, ProbePeer, ProbePort};
use carrick_topology::plan::{Egress, ProbePlan, ProbeTarget};
use carrick_topology::{Liveness, PublicKey};
use carrick_types::SecretKey;
use criterion::{Criterion, criterion_group, criterion_main};

const INTERVAL: Duration = Duration::from_millis(250);
const DELAY: Duration = Duration::from_micros(100);
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 4, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 4, 0, 2))];
const PRIVATE_KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
/// Exchanges before the measurement: the path MTU is found, and the session has begun.
const WARM_UP: usize = 200;
/// The byte of a packet that holds its version.
const VERSION: usize = 4;

/// Two nodes. The first one probes the second one.
struct Pair {
    now: Now,
    prober: ProbePort,
    responder: ProbePort,
    /// The version of the packets that the second node understands.
    version: u8,
}

impl Pair {
    fn new(format: ProbeFormat, version: u8) -> Self {
        let now = Duration::from_secs(1);
        let [prober, responder] = [0, 1].map(|number| port(now, number, format));
        let mut pair = Self { now, prober, responder, version };
        for _ in 0..WARM_UP {
            pair.exchange();
        }
        pair
    }

    /// The next probe, its way to the other node, and the answer's way back.
    fn exchange(&mut self) {
        let probe = self.next_probe();
        self.now += DELAY;
        self.responder.take_datagram(self.now, probe.from, probe.to, black_box(&probe.bytes)).unwrap();
        let answer = self.responder.next_outgoing().unwrap();
        self.now += DELAY;
        self.prober.take_datagram(self.now, answer.from, answer.to, black_box(&answer.bytes)).unwrap();
        while self.prober.next_event().is_some() {}
    }

    /// Until a node answers, it is probed in both versions, and understands one of them.
    fn next_probe(&mut self) -> Outgoing {
        loop {
            match self.prober.next_outgoing() {
                Some(probe) if probe.bytes[VERSION] == self.version => return probe,
                Some(_) => {}
                None => {
                    self.now = self.prober.next_deadline().unwrap().max(self.now);
                    self.prober.handle_timeout(self.now);
                }
            }
        }
    }
}

/// The port of one of the two nodes.
fn port(now: Now, number: usize, format: ProbeFormat) -> ProbePort {
    let private_key = SecretKey::new(PRIVATE_KEYS[number]);
    let identity = Identity { private_key, token: 1, first_session: 1 };
    let mut port = ProbePort::new(INTERVAL, identity, Liveness::default());
    let other = 1 - number;
    let key = x25519_dalek::x25519(PRIVATE_KEYS[other], x25519_dalek::X25519_BASEPOINT_BYTES);
    let peer = ProbePeer { kind: PathKind::Tunnel, public_key: PublicKey::from_bytes(key), format };
    let mut plan = ProbePlan { location_size: 1, ..ProbePlan::default() };
    if number == 0 {
        let target = ProbeTarget {
            location: "b".parse().unwrap(),
            kind: PathKind::Tunnel,
            from: ADDRESSES[0],
            to: ADDRESSES[1],
            egress: Egress::Route,
            device_mtu: 1420,
        };
        plan.targets.insert("b1".parse().unwrap(), target);
    }
    let position = Position { location: ["a", "b"][number].parse().unwrap(), is_gateway: true };
    port.set_plan(now, position, &plan, [(ADDRESSES[other], peer)].into());
    port
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe and answer");
    for (name, format, version) in [("without codes", ProbeFormat::V1, 1), ("with codes", ProbeFormat::V2, 2)] {
        let mut pair = Pair::new(format, version);
        group.bench_function(name, |bencher| bencher.iter(|| pair.exchange()));
        let path = pair.prober.paths().remove(0);
        assert_eq!(path.sent, path.answered, "{path:?}");
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
