//! Endpoints that are domain names, resolved in the background.
//!
//! Each name is resolved when it appears, then each minute, and when a handshake is overdue. A name that does not resolve keeps its last
//! addresses. A slow name delays no other name.

mod schedule;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use carrick_topology::model::DnsName;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

pub(super) use schedule::Resolved;
use schedule::{Outcome, Schedule};

/// The timeout of a resolution.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Resolves names.
pub(super) trait Resolver: Send + Sync {
    /// All addresses of a name, IPv4 and IPv6.
    fn resolve(&self, name: &DnsName) -> impl Future<Output = io::Result<BTreeSet<IpAddr>>> + Send;
}

/// The host's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    async fn resolve(&self, name: &DnsName) -> io::Result<BTreeSet<IpAddr>> {
        let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

/// The other end of [`resolver`].
#[derive(Debug)]
pub(super) struct NameHandle {
    names: watch::Sender<BTreeSet<DnsName>>,
    requests: mpsc::Sender<DnsName>,
    resolved: watch::Receiver<Resolved>,
}

impl NameHandle {
    /// Sets the names to resolve.
    pub(super) fn want(&self, names: BTreeSet<DnsName>) {
        self.names.send_if_modified(|before| {
            let differs = *before != names;
            *before = names;
            differs
        });
    }

    /// Requests a resolution now, because a handshake is overdue. Repeated requests cost nothing.
    pub(super) fn refresh(&self, name: &DnsName) {
        // A full queue holds requests enough.
        drop(self.requests.try_send(name.clone()));
    }

    /// The addresses of the names. The receiver is notified of changes.
    #[must_use]
    pub(super) fn resolved(&self) -> watch::Receiver<Resolved> {
        self.resolved.clone()
    }
}

/// A handle, and the task that serves it until it is dropped.
pub(super) fn resolver(resolver: impl Resolver) -> (NameHandle, impl Future<Output = ()>) {
    let (names, wanted) = watch::channel(BTreeSet::new());
    let (requests, asked) = mpsc::channel(64);
    let (told, resolved) = watch::channel(Resolved::new());
    (NameHandle { names, requests, resolved }, serve(resolver, wanted, asked, told))
}

async fn serve(
    resolver: impl Resolver,
    mut wanted: watch::Receiver<BTreeSet<DnsName>>,
    mut asked: mpsc::Receiver<DnsName>,
    told: watch::Sender<Resolved>,
) {
    let mut schedule = Schedule::default();
    let mut lookups = FuturesUnordered::new();
    loop {
        for name in schedule.take_due(now()) {
            lookups.push(look_up(&resolver, name));
        }
        let deadline = schedule.next_deadline();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                schedule.want(&wanted.borrow_and_update(), now());
            }
            Some(name) = asked.recv() => schedule.refresh(&name, now()),
            Some((name, answer)) = lookups.next() => log(&name, schedule.finish(&name, answer, now())),
            () = wait_until(deadline) => {}
        }
        told.send_if_modified(|before| {
            let resolved = schedule.resolved();
            let differs = *before != resolved;
            *before = resolved;
            differs
        });
    }
}

async fn look_up(resolver: &impl Resolver, name: DnsName) -> (DnsName, Result<BTreeSet<IpAddr>, String>) {
    let answer = match timeout(ANSWER_LIMIT, resolver.resolve(&name)).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    };
    (name, answer)
}

/// Tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => futures::future::pending().await,
    }
}

fn log(name: &DnsName, outcome: Outcome) {
    let name = name.as_str();
    match outcome {
        Outcome::Same | Outcome::FailedAgain | Outcome::NotWanted => {}
        Outcome::Changed => tracing::info!(event = "dns_resolved", name),
        Outcome::Recovered => tracing::info!(event = "dns_recovered", name),
        Outcome::FailedKept(error) => {
            tracing::info!(event = "dns_failed", name, error, "the last addresses stay in force");
        }
        Outcome::FailedNone(error) => {
            tracing::warn!(event = "dns_failed", name, error, "the endpoint cannot be used until its name resolves");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// Answers from a table; a name that is not in it never answers.
    #[derive(Clone, Default)]
    struct Table(Arc<Mutex<BTreeMap<String, Answer>>>);

    type Answer = Result<Vec<&'static str>, ()>;

    impl Table {
        fn set(&self, name: &str, answer: Result<&[&'static str], ()>) {
            self.0.lock().unwrap().insert(name.into(), answer.map(<[_]>::to_vec));
        }
    }

    impl Resolver for Table {
        async fn resolve(&self, name: &DnsName) -> io::Result<BTreeSet<IpAddr>> {
            let answer = self.0.lock().unwrap().get(name.as_str()).cloned();
            match answer {
                Some(Ok(addresses)) => Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
                Some(Err(())) => Err(io::Error::other("no such name")),
                None => futures::future::pending().await,
            }
        }
    }

    fn name(text: &str) -> DnsName {
        let endpoint: carrick_topology::Endpoint = text.parse().unwrap();
        let carrick_topology::Host::Name(name) = endpoint.host else { panic!("{text} is no name") };
        name
    }

    fn shown(resolved: &Resolved) -> Vec<String> {
        resolved.iter().map(|(name, addresses)| format!("{}={addresses:?}", name.as_str())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_kept_up_to_date_and_delay_no_other_name() {
        let table = Table::default();
        table.set("good.example", Ok(&["192.0.2.1", "127.0.1.1"]));
        table.set("bad.example", Err(()));
        let (handle, task) = resolver(table.clone());
        let task = tokio::spawn(task);
        let mut resolved = handle.resolved();
        handle.want(["good.example", "bad.example", "slow.example"].map(name).into());
        resolved.changed().await.unwrap();
        assert_eq!(shown(&resolved.borrow_and_update()), ["good.example={192.0.2.1}"]);

        let before = tokio::time::Instant::now();
        table.set("good.example", Ok(&["192.0.2.2"]));
        resolved.changed().await.unwrap();
        assert_eq!(shown(&resolved.borrow_and_update()), ["good.example={192.0.2.2}"]);
        assert_eq!(before.elapsed().as_secs(), 60);

        table.set("good.example", Err(()));
        table.set("bad.example", Ok(&["2001:db8::1"]));
        resolved.changed().await.unwrap();
        let both = ["bad.example={2001:db8::1}", "good.example={192.0.2.2}"];
        assert_eq!(shown(&resolved.borrow_and_update()), both, "a failure keeps the last address");

        handle.want([name("bad.example")].into());
        resolved.changed().await.unwrap();
        assert_eq!(shown(&resolved.borrow_and_update()), ["bad.example={2001:db8::1}"]);
        drop(handle);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_handshake_brings_the_look_up_forward() {
        let table = Table::default();
        table.set("good.example", Ok(&["192.0.2.1"]));
        let (handle, task) = resolver(table.clone());
        let task = tokio::spawn(task);
        let mut resolved = handle.resolved();
        handle.want([name("good.example")].into());
        resolved.changed().await.unwrap();
        resolved.borrow_and_update();
        table.set("good.example", Ok(&["192.0.2.2"]));
        let before = tokio::time::Instant::now();
        for _ in 0..1000 {
            handle.refresh(&name("good.example"));
        }
        resolved.changed().await.unwrap();
        assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
        drop(handle);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn the_hosts_own_resolver_knows_the_host() {
        let addresses = SystemResolver.resolve(&name("localhost")).await.unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
    }
}
