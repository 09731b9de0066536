//! Many parallel calls that are killed at random moments, then one GC.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::node::{Node, Pod, on_node};

const WORKERS: usize = 8;
/// Number of pairs of ADD and DEL. `CARRICK_CNI_CRASH_PAIRS` overrides it; the full test has 5,000.
const PAIRS: usize = 200;
/// The latest moment of a kill: about the duration of a call on a busy machine.
const LONGEST_LIFE: Duration = Duration::from_millis(40);
/// One pod of this number is not killed and stays attached.
const STAYING: u64 = 8;

/// A pseudorandom number generator (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

fn call(command: &'static str, node: &Node, pod: &Pod, number: usize) -> Call {
    let port = u16::try_from(20_000 + number).unwrap();
    Call::new(command, node, pod, &format!("pod{number}"))
        .asking(json!({"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}))
}

/// Runs a call and kills it at a random moment, unless it has ended before.
fn run_and_kill(call: &Call, random: &mut Random) {
    let mut child: Child = call.spawn();
    call.feed(&mut child);
    let life = Duration::from_micros(random.below(LONGEST_LIFE.as_micros().try_into().unwrap()));
    thread::sleep(life);
    child.kill().unwrap();
    Reply::of(child);
}

fn work(node: &Node, worker: usize, pairs: usize, survivors: &Mutex<Vec<(usize, Pod)>>) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ worker as u64);
    for number in (worker..pairs).step_by(WORKERS) {
        let pod = Pod::new();
        if random.below(STAYING) == 0 {
            call("ADD", node, &pod, number).run().result();
            survivors.lock().unwrap().push((number, pod));
        } else {
            run_and_kill(&call("ADD", node, &pod, number), &mut random);
            run_and_kill(&call("DEL", node, &pod, number), &mut random);
        }
    }
}

#[test]
fn killed_calls_neither_leak_nor_duplicate_addresses() {
    let pairs = std::env::var("CARRICK_CNI_CRASH_PAIRS").map_or(PAIRS, |text| text.parse().unwrap());
    on_node(&["10.42.0.0/16", "fd42::/64"], |node| {
        let survivors = Mutex::new(Vec::new());
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (survivors, namespace) = (&survivors, &namespace);
                scope.spawn(move || {
                    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                    work(node, worker, pairs, survivors);
                });
            }
        });
        let survivors = survivors.into_inner().unwrap();
        let valid: Value = survivors
            .iter()
            .map(|(number, _)| json!({"containerID": format!("pod{number}"), "ifname": "eth0"}))
            .collect();
        let mut gc = Call::new("GC", node, &Pod::new(), "");
        gc.set("cni.dev/valid-attachments", valid);
        gc.run().silent();

        let store = carrick_pods::ipam::Store::under(node.run_directory());
        assert_eq!(store.inconsistencies().unwrap(), [""; 0]);
        let records = store.records().unwrap().readable;
        assert_eq!(records.len(), survivors.len(), "of {pairs} pairs");
        let addresses: BTreeSet<_> = records.iter().flat_map(|record| &record.addresses).collect();
        assert_eq!(addresses.len(), 2 * survivors.len());
        for (number, pod) in &survivors {
            for host in ["192.0.2.1", "2001:db8::1"] {
                pod.succeed("ping", &["-c1", host]);
            }
            call("DEL", node, pod, *number).run().silent();
        }
        assert!(!survivors.is_empty());
        node.assert_nothing_left();
    });
}
