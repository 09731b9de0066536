//! Restores the host's ends of the node's own pods after another program changed them: devices that were set down, kernel settings,
//! the gateway address `fe80::1`, routes (`ip route flush proto 108`) and neighbours.
//!
//! The CNI plugin makes them and does not run again until the next pod comes. What they are follows from the plugin's records; nothing
//! that no record names is touched, and nothing that is there is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use carrick_core::{Event, Fault, FaultSource};
use carrick_dataplane::Sysctls;
use carrick_netlink::link::{Change, Link};
use carrick_netlink::route::{self, Filter, Route};
use carrick_netlink::{Error, Family, Protocol, Request, Socket, address, link, neighbour};
use carrick_pods::Written;
use carrick_pods::device_settings::Setting;
use carrick_pods::ipam::{Record, Store, StoreError};
use carrick_pods::pod_routes::{HostEntries, is_pod_route, set_down, wanted};
use carrick_topology::constants::POD_ROUTE_PROTOCOL;
use thiserror::Error;
use tokio::sync::mpsc;

use super::AgentError;

/// How often the kernel settings of the pods' devices are read: the kernel notifies of some of them only.
const SETTINGS_INTERVAL: Duration = Duration::from_millis(1_500);
/// The least time between two comparisons. Pods that start and stop cause many notifications.
const PAUSE: Duration = Duration::from_millis(25);

/// Compares the host's ends of the pods with the plugin's records.
#[derive(Debug)]
pub struct PodRoutes {
    socket: Socket,
    store: Store,
    /// The folder of the network settings.
    settings: PathBuf,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Restored {
    /// Routes that were missing and are back.
    pub routes: usize,
    /// Neighbours that were missing or different and are right again.
    pub neighbours: usize,
    /// Devices that were down and are up again, and gateway addresses that were missing and are back.
    pub devices: usize,
    /// Kernel settings of the devices that had another value and have theirs again.
    pub settings: usize,
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
    /// A kernel setting cannot be written.
    #[error("kernel setting {}: {source}", path.display())]
    Setting {
        /// The file of the setting.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl PodRoutes {
    /// Opens the kernel's side in the caller's network namespace, and the records under the plugin's run directory.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open(run_directory: &Path) -> Result<Self, Error> {
        let settings = Sysctls::folder().to_owned();
        Ok(Self { socket: Socket::open(Protocol::Route)?, store: Store::under(run_directory), settings })
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
        let mut links = link::dump(&mut self.socket)?;
        let down = set_down(&records.readable, &links);
        if !down.is_empty() {
            let up = Change { up: Some(true), ..Change::default() };
            let requests: Vec<Request> = down.iter().map(|(index, name)| link::change(*index, name, &up)).collect();
            restored.devices += self.write(&requests, &mut restored.failures);
            links = link::dump(&mut self.socket)?;
        }
        let macs = changed_macs(&records.readable, &links);
        restored.devices += self.write(&macs, &mut restored.failures);
        self.restore_settings(&records.readable, &links, &mut restored);
        let entries = wanted(&records.readable, &links);
        let addresses = self.missing_addresses(&entries)?;
        let routes = self.missing_routes(&entries)?;
        let neighbours = self.missing_neighbours(&entries)?;
        restored.devices += self.write(&addresses, &mut restored.failures);
        restored.routes = self.write(&routes, &mut restored.failures);
        restored.neighbours = self.write(&neighbours, &mut restored.failures);
        Ok(restored)
    }

    /// Compares the kernel settings of the pods' devices alone.
    ///
    /// # Errors
    /// The records cannot be listed, or the kernel could not be asked.
    pub fn restore_device_settings(&mut self) -> Result<Restored, RestoreError> {
        let records = self.store.records()?;
        let mut restored = Restored::default();
        if !records.readable.is_empty() {
            let links = link::dump(&mut self.socket)?;
            self.restore_settings(&records.readable, &links, &mut restored);
        }
        Ok(restored)
    }

    /// A device without a carrier may still be configured by ADD.
    fn restore_settings(&self, records: &[Record], links: &[Link], restored: &mut Restored) {
        for record in records {
            if !links.iter().any(|link| link.name == record.device && link.operational) {
                continue;
            }
            for setting in Setting::of_record(record) {
                match setting.apply(&self.settings, &record.device) {
                    Ok(written) => restored.settings += usize::from(written == Written::Changed),
                    Err(source) => {
                        let path = setting.path(&self.settings, &record.device);
                        restored.failures.push(RestoreError::Setting { path, source });
                    }
                }
            }
        }
    }

    fn missing_addresses(&mut self, entries: &[HostEntries]) -> Result<Vec<Request>, Error> {
        if entries.iter().all(|entries| entries.address.is_none()) {
            return Ok(Vec::new());
        }
        let present = address::dump(&mut self.socket, None)?;
        let wanted = entries.iter().filter_map(|entries| entries.address.as_ref());
        let is_missing = |wanted: &&address::Address| {
            !present.iter().any(|found| found.link == wanted.link && found.network == wanted.network)
        };
        Ok(wanted.filter(is_missing).map(address::add).collect())
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

/// The pods' next hop has another Ethernet address than the one that the pods know.
fn changed_macs(records: &[Record], links: &[Link]) -> Vec<Request> {
    let change = |record: &Record| {
        let link = links.iter().find(|link| link.name == record.device && link.operational)?;
        let mac = record.attachment.host_mac();
        let wanted = Change { mac: Some(mac), ..Change::default() };
        (link.mac != Some(mac)).then(|| link::change(link.index, &link.name, &wanted))
    };
    records.iter().filter_map(change).collect()
}

/// The thread that restores pods' routes.
#[derive(Debug)]
pub(super) struct PodRouteRestorer(SyncSender<()>);

impl PodRouteRestorer {
    /// Starts the thread in the caller's network namespace. It ends when this is dropped. It tells `events` what cannot be restored.
    ///
    /// # Errors
    /// The kernel gives no socket or no thread.
    pub(super) fn start(run_directory: &Path, events: mpsc::Sender<Event>) -> Result<Self, AgentError> {
        let mut pod_routes = PodRoutes::open(run_directory)?;
        let (ask, asked) = sync_channel(1);
        let serve = move || {
            let mut trouble = Vec::new();
            loop {
                let result = match asked.recv_timeout(SETTINGS_INTERVAL) {
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) if trouble.is_empty() => pod_routes.restore_device_settings(),
                    // What failed is tried again. A comparison of the settings alone would not know whether it still fails.
                    Ok(()) | Err(RecvTimeoutError::Timeout) => pod_routes.restore(),
                };
                let failures = report(result, &trouble);
                if failures != trouble {
                    let fault = failures.first().cloned().map(Fault::PodRoutesNotRestored);
                    if events.blocking_send(Event::Faults(FaultSource::PodRoutes, fault.into_iter().collect())).is_err()
                    {
                        return;
                    }
                }
                trouble = failures;
                std::thread::sleep(PAUSE);
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

/// Logs the result, and returns the failures. A failure that repeats is logged once.
fn report(result: Result<Restored, RestoreError>, trouble: &[String]) -> Vec<String> {
    let restored = result.unwrap_or_else(|error| Restored { failures: vec![error], ..Restored::default() });
    let Restored { routes, neighbours, devices, settings, failures } = restored;
    if routes + neighbours + devices + settings > 0 {
        tracing::info!(event = "pod_routes_restored", routes, neighbours, devices, settings);
    }
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    if let Some(first) = failures.first().filter(|_| failures != *trouble) {
        tracing::warn!(event = "pod_routes_not_restored", failures = failures.len(), first);
    }
    failures
}
