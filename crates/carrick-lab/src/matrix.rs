//! The matrix of all pairs of endpoints: reachability, round-trip time and TCP transfer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::address::{Addresses, Family};
use crate::namespace::Namespaces;
use crate::ping;
use crate::transfer::{self, HashServer};

/// How many pairs are timed, or transfer bytes, at the same time. More pairs would share the processors.
const PARALLEL_PAIRS: usize = 4;

/// An end of pairs.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The pod's or node's name.
    pub name: String,
    /// Its location.
    pub location: String,
    /// Whether it is also a target.
    pub kind: Kind,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its addresses.
    pub addresses: Addresses,
}

impl Endpoint {
    /// The families that it has an address of.
    pub fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let addresses = self.addresses;
        [Family::V4, Family::V6].into_iter().filter(move |family| addresses.of(*family).is_some())
    }
}

/// The kind of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pod: a source and a target.
    Pod,
    /// A node: only a source.
    Node,
}

/// How a matrix is measured.
#[derive(Debug, Clone, Copy)]
pub struct MatrixOptions {
    /// How long the first answer of a pair may take.
    pub timeout: Duration,
    /// How many bytes each reachable pair transfers over TCP; 0 for no transfer.
    pub tcp_bytes: usize,
}

/// The result of a pair in one family.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The source.
    pub from: String,
    /// The target.
    pub to: String,
    /// The address family.
    pub family: Family,
    /// Whether the target answered.
    pub reachable: bool,
    /// The round-trip time, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether all bytes arrived unchanged; false if no bytes were sent.
    pub tcp_ok: bool,
    /// Whether the two are in different locations.
    #[serde(skip)]
    pub crosses: bool,
}

/// A pair before it is measured.
struct Task<'a> {
    from: &'a Endpoint,
    to: &'a Endpoint,
    family: Family,
    target: IpAddr,
}

/// Measures each ordered pair of endpoints in each family of the target, in order of names.
///
/// # Errors
/// A namespace does not exist any more.
pub fn measure(endpoints: &[Endpoint], options: MatrixOptions) -> Result<Vec<Pair>> {
    let tasks = tasks(endpoints);
    let mut pairs = ping_all(&tasks, options.timeout)?;
    time_all(&tasks, &mut pairs);
    if options.tcp_bytes > 0 {
        transfer_all(&tasks, &mut pairs, options.tcp_bytes)?;
    }
    Ok(pairs)
}

fn tasks(endpoints: &[Endpoint]) -> Vec<Task<'_>> {
    let mut tasks = Vec::new();
    for from in endpoints {
        for to in endpoints.iter().filter(|to| to.kind == Kind::Pod && to.name != from.name) {
            tasks.extend(to.addresses.list().into_iter().map(|target| Task {
                from,
                to,
                family: Family::from(target),
                target,
            }));
        }
    }
    tasks
}

fn ping_all(tasks: &[Task<'_>], timeout: Duration) -> Result<Vec<Pair>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = tasks.iter().map(|task| scope.spawn(|| task.ping(timeout))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

fn transfer_all(tasks: &[Task<'_>], pairs: &mut [Pair], bytes: usize) -> Result<()> {
    let servers = servers(tasks)?;
    let moved = for_reachable_pairs(tasks, pairs, |task| task.transfer(&servers, bytes));
    for (pair, moved) in pairs.iter_mut().zip(moved) {
        pair.tcp_ok = moved.unwrap_or(false);
    }
    Ok(())
}

/// Measures the round-trip times again while there is little traffic.
fn time_all(tasks: &[Task<'_>], pairs: &mut [Pair]) {
    let times =
        for_reachable_pairs(tasks, pairs, |task| ping::round_trip(&task.from.namespaces, task.target).ok().flatten());
    for (pair, time) in pairs.iter_mut().zip(times) {
        pair.rtt_ms = time.flatten().map(milliseconds).or(pair.rtt_ms);
    }
}

/// Does some work for each reachable pair, a few pairs at the same time.
fn for_reachable_pairs<T: Send>(
    tasks: &[Task<'_>],
    pairs: &[Pair],
    work: impl Fn(&Task<'_>) -> T + Sync,
) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < tasks.len());
        let reaching = std::iter::from_fn(take).filter(|number| pairs[*number].reachable);
        reaching.map(|number| (number, work(&tasks[number]))).collect::<Vec<_>>()
    };
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL_PAIRS).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            for (number, result) in worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                results[number] = Some(result);
            }
        }
    });
    results
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn servers(tasks: &[Task<'_>]) -> Result<BTreeMap<IpAddr, HashServer>> {
    let mut servers = BTreeMap::new();
    for task in tasks {
        if let Entry::Vacant(place) = servers.entry(task.target) {
            place.insert(HashServer::start(&task.to.namespaces, task.target)?);
        }
    }
    Ok(servers)
}

impl Task<'_> {
    fn ping(&self, timeout: Duration) -> Result<Pair> {
        let rtt = ping::until_answered(&self.from.namespaces, self.target, timeout)?;
        Ok(Pair {
            from: self.from.name.clone(),
            to: self.to.name.clone(),
            family: self.family,
            reachable: rtt.is_some(),
            rtt_ms: rtt.map(milliseconds),
            tcp_ok: false,
            crosses: self.from.location != self.to.location,
        })
    }

    fn transfer(&self, servers: &BTreeMap<IpAddr, HashServer>, bytes: usize) -> bool {
        let Some(address) = servers.get(&self.target).map(HashServer::address) else {
            return false;
        };
        match transfer::send(&self.from.namespaces, SocketAddr::new(self.target, address.port()), bytes) {
            Ok(_time) => true,
            Err(error) => {
                let (from, to) = (&self.from.name, &self.to.name);
                tracing::warn!(event = "transfer_failed", from, to, error = format!("{error:#}"));
                false
            }
        }
    }
}
