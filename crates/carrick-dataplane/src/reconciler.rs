//! Devices, addresses, WireGuard peers, neighbours, routes and rules: observe them, compare them with the plan, and apply the difference.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use carrick_netlink::{Protocol, Socket};
use carrick_topology::{DeviceName, PublicKey};

use crate::apply::{AllowedIpRemoval, Executor, Failure, NetworkExecutor, PeerExecutor};
use crate::desired::Desired;
use crate::diff::{Circumstances, Difference, diff, wireguard_differs};
use crate::drift::DriftWatch;
use crate::endpoint_memory::{EndpointMemory, Endpoints};
use crate::handshake::initiate_handshake;
use crate::observe::{Observation, SettledRoutes, observe};
use crate::operation::Operation;
use crate::phases::{Phases, StopWatch};
use crate::route::RoutingTable;
use crate::sighting::{Sighting, sightings};
use crate::sysctl::{Sysctls, settings_differ};
use crate::wireguard::{WireGuard, WireGuardError};

/// Reconciles one node's devices, peers, routes and rules.
#[derive(Debug)]
pub struct Reconciler {
    socket: Socket,
    wireguard: Box<dyn WireGuard>,
    sysctls: Sysctls,
    endpoints: EndpointMemory,
    seen_endpoints: Endpoints,
    removal: AllowedIpRemoval,
    /// None when the last reconciliation was not complete.
    settled_routes: Option<SettledRoutes>,
}

/// What one reconciliation did.
#[derive(Debug)]
pub struct Report {
    /// What differed, in the order in which it was carried out. Empty when the kernel was as planned.
    pub operations: Vec<Operation>,
    /// What failed of it; a later reconciliation tries again.
    pub failures: Vec<Failure>,
    /// The WireGuard device, when only another process can make it or speak for it.
    pub waiting_for: Option<DeviceName>,
    /// Why the WireGuard device's configuration could not be read.
    pub unreadable_wireguard: Option<WireGuardError>,
    /// Why the wanted endpoints could not be written down.
    pub endpoint_memory: Option<io::Error>,
    /// The WireGuard peers as they were seen before anything was changed; `None` if the device could not be read.
    pub sightings: Option<BTreeMap<PublicKey, Sighting>>,
    /// How long each phase took; the firewall is not part of a reconciliation.
    pub phases: Phases,
}

/// What a look at WireGuard and the kernel settings alone showed.
#[derive(Debug)]
pub enum Poll {
    /// Device and settings are as planned; the device's peers as they were seen.
    AsPlanned(BTreeMap<PublicKey, Sighting>),
    /// They are not, or cannot be read: a reconciliation is due.
    Differs,
}

impl Report {
    /// Whether the kernel is now as planned.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && self.waiting_for.is_none() && self.unreadable_wireguard.is_none()
    }
}

impl Reconciler {
    /// Opens the sockets in the calling thread's network namespace. `run_folder` holds what must survive
    /// the agent but not the machine; it must exist.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket.
    pub fn open(
        wireguard: Box<dyn WireGuard>,
        sysctls: Sysctls,
        run_folder: PathBuf,
    ) -> Result<Self, carrick_netlink::Error> {
        Ok(Self {
            socket: Socket::open(Protocol::Route)?,
            wireguard,
            sysctls,
            endpoints: EndpointMemory::open(run_folder.join(EndpointMemory::FILE)),
            seen_endpoints: Endpoints::new(),
            removal: AllowedIpRemoval::Single,
            settled_routes: None,
        })
    }

    /// Who makes the WireGuard device; a [`Desired`] needs it.
    #[must_use]
    pub fn maker(&self) -> crate::WireGuardMaker {
        self.wireguard.maker()
    }

    /// Watches what other programs change of these devices, and of Carrick's routes and rules. The watch ignores this dataplane's own changes, as
    /// far as the kernel tells them apart.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket, or could not be asked.
    pub fn watch(&mut self, wireguard: &DeviceName, vxlan: &DeviceName) -> Result<DriftWatch, carrick_netlink::Error> {
        DriftWatch::open(&mut self.socket, wireguard, vxlan)
    }

    /// Reads what the kernel holds of what `desired` is about. Writes nothing.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn observe(&mut self, desired: &Desired) -> Result<Observation, carrick_netlink::Error> {
        observe(&mut self.socket, self.wireguard.as_mut(), &mut self.sysctls, desired, None)
    }

    /// What [`Self::reconcile`] would do to what was observed.
    #[must_use]
    pub fn compare(&self, desired: &Desired, observation: &Observation, now: SystemTime) -> Difference {
        diff(desired, &observation.observed, &self.circumstances(now))
    }

    /// Makes the kernel hold what `desired` says: observes, compares, applies. When nothing differs, nothing is
    /// written. What fails is reported, and the rest is done.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked; then nothing was done.
    pub fn reconcile(&mut self, desired: &Desired, now: SystemTime) -> Result<Report, carrick_netlink::Error> {
        self.settled_routes = None;
        self.reconcile_change(desired, now)
    }

    /// As [`Self::reconcile`], for a plan that has changed. It does not read the routes, which are many, and takes them to be as the latest complete
    /// reconciliation left them. A [`DriftWatch`] tells when another program changed them; then [`Self::reconcile`] is due.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked; then nothing was done.
    pub fn reconcile_change(&mut self, desired: &Desired, now: SystemTime) -> Result<Report, carrick_netlink::Error> {
        let mut watch = StopWatch::start();
        let settled = self.settled_routes.take();
        let wireguard = self.wireguard.as_mut();
        let observation = observe(&mut self.socket, wireguard, &mut self.sysctls, desired, settled.as_ref())?;
        let observed = watch.lap();
        let Difference { operations, waiting_for } = self.compare(desired, &observation, now);
        let compared = watch.lap();
        let failures = self.apply(desired, &operations);
        let phases = Phases { firewall: Duration::ZERO, observe: observed, compare: compared, apply: watch.lap() };
        // What could not be seen was not written either.
        let configuration = observation.observed.wireguard.and_then(|found| found.configuration);
        let configured = configuration.is_some();
        let sightings = configuration.map(|device| sightings(device, now));
        if let Some(seen) = &sightings {
            self.remember_seen(desired, seen);
        }
        initiate_handshake(&operations);
        let is_made = operations.iter().any(|operation| matches!(operation, Operation::CreateWireGuard { .. }));
        let endpoint_memory =
            if configured || is_made { self.remember_endpoints(desired, &failures).err() } else { None };
        let report = Report {
            operations,
            failures,
            waiting_for,
            unreadable_wireguard: observation.unreadable_wireguard,
            endpoint_memory,
            sightings,
            phases,
        };
        self.settled_routes = report
            .is_complete()
            .then(|| SettledRoutes { devices: observation.route_devices, routes: Arc::clone(&desired.routes) });
        Ok(report)
    }

    /// Reads what sends no notification when it changes: WireGuard's configuration and the kernel settings. Writes nothing.
    pub fn poll(&mut self, desired: &Desired, now: SystemTime) -> Poll {
        if settings_differ(desired, &self.sysctls.observe(desired)) {
            return Poll::Differs;
        }
        let Ok(device) = self.wireguard.get(desired.wireguard_device().as_str()) else {
            return Poll::Differs;
        };
        if wireguard_differs(desired, &device, &self.circumstances(now)) {
            return Poll::Differs;
        }
        let sightings = sightings(device, now);
        self.remember_seen(desired, &sightings);
        Poll::AsPlanned(sightings)
    }

    /// The number of messages and settings that could change something which were sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes() + self.wireguard.writes() + self.sysctls.writes()
    }

    fn circumstances(&self, now: SystemTime) -> Circumstances<'_> {
        Circumstances { now, written_endpoints: self.endpoints.endpoints(), seen_endpoints: &self.seen_endpoints }
    }

    /// A peer that has no session at present keeps the place where it was seen when it had one.
    fn remember_seen(&mut self, desired: &Desired, sightings: &BTreeMap<PublicKey, Sighting>) {
        let connected = sightings.iter().filter(|(_, sighting)| sighting.is_connected());
        let seen = connected.filter_map(|(key, sighting)| Some((*key, sighting.endpoint?)));
        self.seen_endpoints.extend(seen);
        self.seen_endpoints.retain(|key, _| desired.wireguard.peers.contains_key(key));
    }

    fn apply(&mut self, desired: &Desired, operations: &[Operation]) -> Vec<Failure> {
        let (vxlan, table) = (&desired.vxlan.device, RoutingTable::MESH);
        let network = NetworkExecutor::new(&mut self.socket, &mut self.sysctls, vxlan, table);
        let (device, removal) = (&desired.wireguard.device, &mut self.removal);
        let peers = PeerExecutor { wireguard: self.wireguard.as_mut(), device, removal };
        Executor { network, peers }.apply(operations)
    }

    /// An endpoint that could not be written is not remembered, so that the next reconciliation writes it.
    fn remember_endpoints(&mut self, desired: &Desired, failures: &[Failure]) -> io::Result<()> {
        let mut endpoints: Endpoints = desired
            .wireguard
            .peers
            .iter()
            .filter_map(|(key, peer)| peer.endpoint.map(|endpoint| (*key, endpoint)))
            .collect();
        for failure in failures {
            if let Operation::SetPeer(change) = &failure.operation {
                match self.endpoints.endpoints().get(&change.public_key) {
                    Some(written) => endpoints.insert(change.public_key, *written),
                    None => endpoints.remove(&change.public_key),
                };
            }
        }
        self.endpoints.remember(endpoints)
    }
}
