//! Restores the routes to the node's own pods after another program flushed them (`ip route flush proto 108`).
//!
//! The CNI plugin makes them and does not run again until the next pod comes. What they are follows from the plugin's records; nothing
//! that no record names is touched, and nothing that is there is written.

use std::path::Path;

use carrick_netlink::route::{self, Filter, Route};
use carrick_netlink::{Error, Family, Protocol, Request, Socket, link, neighbour};
use carrick_pods::ipam::{Store, StoreError};
use carrick_pods::pod_routes::{HostEntries, is_pod_route, wanted};
use carrick_topology::constants::POD_ROUTE_PROTOCOL;
use thiserror::Error;
use tokio::sync::mpsc;

use super::AgentError;

/// Compares the pods' routes with the plugin's records.
#[derive(Debug)]
pub struct PodRoutes {
    socket: Socket,
    store: Store,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Restored {
    /// Routes that were missing and are back.
    pub routes: usize,
    /// Neighbours that were missing or different and are right again.
    pub neighbours: usize,
    /// What could not be restored or compared.
    pub failures: Vec<RestoreError>,
}

/// Why something is not restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] StoreError),
}

impl PodRoutes {
    /// Opens the kernel's side in the caller's network namespace, and the records under the plugin's run directory.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open(run_directory: &Path) -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Protocol::Route)?, store: Store::under(run_directory) })
    }

    /// Adds what the records want and the kernel does not hold.
    ///
    /// # Errors
    /// The records cannot be listed, or the kernel could not be asked; then nothing was written.
    pub fn restore(&mut self) -> Result<Restored, RestoreError> {
        let records = self.store.records()?;
        let mut restored = Restored {
            failures: records.unreadable.into_iter().map(RestoreError::from).collect(),
            ..Restored::default()
        };
        if records.readable.is_empty() {
            return Ok(restored);
        }
        // The devices are looked at after the records: one that is gone by then is on its way out.
        let entries = wanted(&records.readable, &link::dump(&mut self.socket)?);
        let routes = self.missing_routes(&entries)?;
        let neighbours = self.missing_neighbours(&entries)?;
        restored.routes = self.write(&routes, &mut restored.failures);
        restored.neighbours = self.write(&neighbours, &mut restored.failures);
        Ok(restored)
    }

    /// Messages sent so far that can change the kernel.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes()
    }

    /// A route in its place that is not the plugin's makes the kernel refuse, and stays.
    fn missing_routes(&mut self, entries: &[HostEntries]) -> Result<Vec<Request>, Error> {
        let mut present: Vec<Route> = Vec::new();
        for family in Family::BOTH {
            let filter = Filter { family, table: None, protocol: Some(POD_ROUTE_PROTOCOL), device: None };
            present.extend(route::dump(&mut self.socket, &filter)?.into_iter().filter(is_pod_route));
        }
        present.sort_unstable();
        let wanted = entries.iter().flat_map(|entries| &entries.routes);
        Ok(wanted.filter(|route| present.binary_search(route).is_err()).map(route::add).collect())
    }

    fn missing_neighbours(&mut self, entries: &[HostEntries]) -> Result<Vec<Request>, Error> {
        let mut missing = Vec::new();
        for entries in entries {
            let present = neighbour::dump(&mut self.socket, entries.device)?;
            let wanted = entries.neighbours.iter();
            missing.extend(wanted.filter(|neighbour| !present.contains(neighbour)).map(neighbour::replace));
        }
        Ok(missing)
    }

    /// Returns how many succeeded. A device that went away meanwhile took its pod along.
    fn write(&mut self, requests: &[Request], failures: &mut Vec<RestoreError>) -> usize {
        let results = self.socket.batch(requests);
        let succeeded = results.iter().filter(|result| result.is_ok()).count();
        let failed = results.into_iter().filter_map(Result::err).filter(|error| !error.is_not_found());
        failures.extend(failed.map(RestoreError::from));
        succeeded
    }
}

/// The thread that restores pods' routes.
#[derive(Debug)]
pub(super) struct PodRouteRestorer(mpsc::Sender<()>);

impl PodRouteRestorer {
    /// Starts the thread in the caller's network namespace. It ends when this is dropped.
    ///
    /// # Errors
    /// The kernel gives no socket or no thread.
    pub(super) fn start(run_directory: &Path) -> Result<Self, AgentError> {
        let mut pod_routes = PodRoutes::open(run_directory)?;
        let (ask, mut asked) = mpsc::channel(1);
        let serve = move || {
            let mut trouble = Vec::new();
            while asked.blocking_recv().is_some() {
                report(pod_routes.restore(), &mut trouble);
            }
        };
        std::thread::Builder::new()
            .name("pod-routes".to_owned())
            .spawn(serve)
            .map_err(|error| AgentError::Start(format!("a thread: {error}")))?;
        Ok(Self(ask))
    }

    /// Requests a comparison of the routes, which starts after this call.
    pub(super) fn restore_soon(&self) {
        // A request that waits already will see what this one would see.
        let _ = self.0.try_send(());
    }
}

/// Logs the result. A failure that repeats is logged once.
fn report(result: Result<Restored, RestoreError>, trouble: &mut Vec<String>) {
    let restored = result.unwrap_or_else(|error| Restored { failures: vec![error], ..Restored::default() });
    let Restored { routes, neighbours, failures } = restored;
    if routes + neighbours > 0 {
        tracing::info!(event = "pod_routes_restored", routes, neighbours);
    }
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    if let Some(first) = failures.first().filter(|_| failures != *trouble) {
        tracing::warn!(event = "pod_routes_not_restored", failures = failures.len(), first);
    }
    *trouble = failures;
}
