//! The store after a process was killed at each of its steps.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::host_port::{HostPort, Transport};
use crate::ipam::disk::tests::panic_after;
use crate::ipam::pools;

const CONTAINERS: [&str; 3] = ["a", "b", "c"];

/// An operation of a process.
#[derive(Debug, Clone, Copy)]
enum Operation {
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

fn perform(store: &Store, operation: Operation) {
    match operation {
        Operation::Reserve(container) => drop(store.reserve(reservation(container), &node_pools())),
        Operation::Release(container) => store.release(&attachment(container)).unwrap(),
    }
}

/// Runs the operations and kills them at the given step. Returns false if they ended before.
fn killed_at(step: usize, store: &Store, operations: &[Operation]) -> bool {
    panic_after(step);
    let killed =
        catch_unwind(AssertUnwindSafe(|| operations.iter().for_each(|operation| perform(store, *operation)))).is_err();
    panic_after(usize::MAX);
    killed
}

/// Every claim has a record, and no two records hold the same address.
fn assert_consistent(store: &Store, context: &str) {
    for problem in store.inconsistencies().unwrap() {
        // ADD writes the record before the claims, and DEL removes the claims before the record.
        assert!(problem.ends_with("is not claimed") || problem.contains("which belongs to"), "{context}: {problem}");
    }
    let records = store.records().unwrap();
    assert!(records.unreadable.is_empty(), "{context}: {:?}", records.unreadable);
    let mut held: Vec<IpAddr> = records.readable.iter().flat_map(|record| record.addresses.clone()).collect();
    let count = held.len();
    held.sort();
    held.dedup();
    assert_eq!(held.len(), count, "{context}: two records hold the same address");
}

fn assert_recovers(store: &Store, context: &str) {
    assert_consistent(store, context);
    // Another pod can be attached at once.
    let other = store.reserve(reservation("other"), &node_pools()).unwrap();
    assert_eq!(other.addresses.len(), 2, "{context}");
    assert_consistent(store, context);
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

fn after_every_step(operations: &[Operation]) {
    for step in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::under(directory.path());
        let killed = killed_at(step, &store, operations);
        assert_recovers(&store, &format!("{operations:?} killed at step {step}"));
        if !killed {
            assert!(step > operations.len(), "the operations write");
            return;
        }
    }
}

#[test]
fn a_kill_at_any_step_neither_leaks_nor_duplicates_addresses() {
    after_every_step(&[
        Operation::Reserve("a"),
        Operation::Reserve("b"),
        Operation::Release("a"),
        Operation::Reserve("c"),
        Operation::Release("b"),
        Operation::Reserve("a"),
    ]);
}

#[test]
fn a_second_kill_during_the_clean_up_is_no_worse() {
    let operations = [Operation::Reserve("a"), Operation::Reserve("b")];
    let clean_up = [Operation::Release("a"), Operation::Reserve("a"), Operation::Release("b")];
    for first in 0.. {
        let mut second = 0;
        loop {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::under(directory.path());
            let killed_first = killed_at(first, &store, &operations);
            let killed_again = killed_at(second, &store, &clean_up);
            assert_recovers(&store, &format!("killed at {first}, then at {second}"));
            second += 1;
            if !killed_first {
                return;
            }
            if !killed_again {
                break;
            }
        }
    }
}
