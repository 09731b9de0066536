//! The store after a process died at each of its steps.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::host_port::Transport;
use crate::ipam::disk::tests::die_after;
use crate::ipam::pools;

const CONTAINERS: [&str; 3] = ["a", "b", "c"];

/// What a process does with the store.
#[derive(Debug, Clone, Copy)]
enum Act {
    Reserve(&'static str),
    Release(&'static str),
}

fn attachment(container_id: &str) -> Attachment {
    Attachment { network: "carrick".to_owned(), container_id: container_id.to_owned(), interface: "eth0".to_owned() }
}

fn reservation(container_id: &str) -> Reservation {
    let host_ports = ["0.0.0.0", "::"].map(|host| HostPort {
        transport: Transport::Udp,
        host: host.parse().unwrap(),
        host_port: container_id.bytes().map(u16::from).sum(),
        pod_port: 53,
    });
    Reservation { host_ports: host_ports.to_vec(), ..Reservation::plain(attachment(container_id), None) }
}

fn node_pools() -> Vec<Pool> {
    pools(&["10.0.0.0/29", "10.0.1.0/30", "fd00::/125"].map(|cidr| cidr.parse().unwrap())).unwrap()
}

fn perform(store: &Store, act: Act) {
    match act {
        Act::Reserve(container) => drop(store.reserve(reservation(container), &node_pools())),
        Act::Release(container) => store.release(&attachment(container)).unwrap(),
    }
}

/// Runs the acts and dies at the given step; whether it came to that.
fn dies_at(step: usize, store: &Store, acts: &[Act]) -> bool {
    die_after(step);
    let died = catch_unwind(AssertUnwindSafe(|| acts.iter().for_each(|act| perform(store, *act)))).is_err();
    die_after(usize::MAX);
    died
}

/// No claim is without a record, and nobody's claim is another's too.
fn assert_sound(store: &Store, context: &str) {
    for problem in store.inconsistencies().unwrap() {
        // A record may be ahead of what it takes, and behind what it gave back.
        assert!(problem.ends_with("is free") || problem.contains("which belongs to"), "{context}: {problem}");
    }
    let records = store.records().unwrap();
    assert!(records.unreadable.is_empty(), "{context}: {:?}", records.unreadable);
    let mut held: Vec<IpAddr> = records.readable.iter().flat_map(|record| record.addresses.clone()).collect();
    let count = held.len();
    held.sort();
    held.dedup();
    assert_eq!(held.len(), count, "{context}: an address is held twice");
}

fn assert_recovers(store: &Store, context: &str) {
    assert_sound(store, context);
    // Another pod gets its addresses at once.
    let other = store.reserve(reservation("other"), &node_pools()).unwrap();
    assert_eq!(other.addresses.len(), 2, "{context}");
    assert_sound(store, context);
    for container in CONTAINERS {
        store.release(&attachment(container)).unwrap();
    }
    for address in &other.addresses {
        assert!(store.holds(&other.attachment, *address).unwrap(), "{context}");
    }
    store.release(&other.attachment).unwrap();
    assert_eq!(Claim::all(&store.directory).unwrap(), [], "{context}");
    assert!(store.records().unwrap().readable.is_empty(), "{context}");
}

fn after_every_step(acts: &[Act]) {
    for step in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::under(directory.path());
        let died = dies_at(step, &store, acts);
        assert_recovers(&store, &format!("{acts:?} died at step {step}"));
        if !died {
            assert!(step > acts.len(), "the acts write");
            return;
        }
    }
}

#[test]
fn no_prefix_of_the_writes_loses_or_doubles_anything() {
    after_every_step(&[
        Act::Reserve("a"),
        Act::Reserve("b"),
        Act::Release("a"),
        Act::Reserve("c"),
        Act::Release("b"),
        Act::Reserve("a"),
    ]);
}

#[test]
fn a_second_death_in_the_clean_up_is_no_worse() {
    let acts = [Act::Reserve("a"), Act::Reserve("b")];
    let clean_up = [Act::Release("a"), Act::Reserve("a"), Act::Release("b")];
    for first in 0.. {
        let mut second = 0;
        loop {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::under(directory.path());
            let died_first = dies_at(first, &store, &acts);
            let died_again = dies_at(second, &store, &clean_up);
            assert_recovers(&store, &format!("died at {first}, then at {second}"));
            second += 1;
            if !died_first {
                return;
            }
            if !died_again {
                break;
            }
        }
    }
}
