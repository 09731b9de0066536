//! The thread that probes other nodes and answers their probes.
//!
//! It has its own sockets and is not one of the async runtime's threads: nothing else that the agent does delays an answer or makes a round
//! trip look longer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use carrick_core::Probing;
use carrick_probe::{Identity, Position, ProbePort, ProbedPath, ProberEvent, Shape};
use carrick_topology::Liveness;
use carrick_topology::constants::HANDOVER_DEVICE;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::Egress;
use carrick_types::SecretKey;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc;

use super::AgentError;
use super::ProbeMetrics;
use super::socket::{LARGEST_DATAGRAM, ProbeSocket};

/// The time after which the thread tries again to bind to an address that is missing.
const BIND_INTERVAL: Duration = Duration::from_millis(250);
/// The longest time for which the thread waits.
const IDLE: Duration = Duration::from_secs(1);

/// A handle to the thread.
#[derive(Clone, Debug)]
pub(super) struct ProbeThread {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    wake: EventFd,
    metrics: ProbeMetrics,
}

#[derive(Debug)]
struct State {
    port: ProbePort,
    /// What the thread does until it is told otherwise.
    plan: Option<Arc<Probing>>,
    /// Own addresses at which another program has the port. No target is probed from them: missing answers would look like failures of other nodes.
    taken: BTreeSet<IpAddr>,
}

impl ProbeThread {
    /// Starts the thread in the caller's network namespace. It sends what it finds out to `events`, and ends when the receiver is closed.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        interval: Duration,
        private_key: SecretKey,
        known: Liveness,
        metrics: ProbeMetrics,
        events: mpsc::UnboundedSender<ThreadEvent>,
    ) -> Result<Self, AgentError> {
        let failed = |what: String| AgentError::Start(format!("probing: {what}"));
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|error| failed(error.to_string()))?;
        let identity = Identity { private_key, token: rand::random(), first_session: rand::random() };
        let state = State { port: ProbePort::new(interval, identity, known), plan: None, taken: BTreeSet::new() };
        let shared = Arc::new(Shared { origin: Instant::now(), state: Mutex::new(state), wake, metrics });
        let thread = Thread { shared: Arc::clone(&shared), sockets: BTreeMap::new(), bind_again: None, events };
        std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { shared })
    }

    /// Probes and answers according to this from now on.
    pub(super) fn follow(&self, probing: Arc<Probing>) {
        let mut state = self.shared.lock();
        state.plan = Some(probing);
        state.set_plan(self.shared.origin.elapsed());
        drop(state);
        self.shared.wake();
    }

    /// Probes each target this often from its next probe on.
    pub(super) fn set_interval(&self, interval: Duration) {
        self.shared.lock().port.set_interval(interval);
        self.shared.wake();
    }

    /// What the kernel holds of handovers by now. The gateways that it concerns are told at once.
    pub(super) fn set_handover(&self, in_force: HandoverInForce) {
        let mut state = self.shared.lock();
        state.port.set_handover(self.shared.origin.elapsed(), in_force);
        drop(state);
        self.shared.wake();
    }

    /// What is known of each path.
    pub(super) fn paths(&self) -> Vec<ProbedPath> {
        self.shared.lock().port.paths()
    }
}

impl State {
    /// Probes the targets of the plan that this node can send to.
    fn set_plan(&mut self, now: Duration) {
        let Some(plan) = &self.plan else { return };
        let position = Position { location: plan.location.clone(), is_gateway: plan.is_gateway };
        let mut targets = plan.targets.clone();
        targets.targets.retain(|_, target| !self.taken.contains(&target.from));
        self.port.set_plan(now, position, &targets, plan.peers.clone());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // If the counter is full, the thread wakes up anyway.
        let _ = self.wake.write(1);
    }
}

/// What the thread tells.
#[derive(Debug)]
pub(in crate::agent) enum ThreadEvent {
    /// The prober found something out.
    Prober(ProberEvent),
    /// Other programs have the port at these own addresses.
    PortTaken(BTreeSet<IpAddr>),
}

struct Thread {
    shared: Arc<Shared>,
    sockets: BTreeMap<IpAddr, ProbeSocket>,
    /// When missing addresses are tried again.
    bind_again: Option<Instant>,
    events: mpsc::UnboundedSender<ThreadEvent>,
}

impl Thread {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        while !self.events.is_closed() {
            let ready = self.wait(&shared);
            let mut state = shared.lock();
            for (address, readiness) in &ready {
                let Some(socket) = self.sockets.get(address) else { continue };
                take_datagrams(&shared, &mut state.port, socket, &mut buffer);
                if readiness.contains(PollFlags::POLLERR) {
                    take_icmp_errors(&shared, &mut state.port, socket, &mut buffer);
                }
                // Answers leave before the next socket is read.
                send_datagrams(&mut state, &self.sockets);
            }
            self.bind(&mut state, shared.origin.elapsed());
            state.port.handle_timeout(shared.origin.elapsed());
            send_datagrams(&mut state, &self.sockets);
            while let Some(event) = state.port.next_event() {
                // The receiver is closed when the agent ends.
                let _ = self.events.send(ThreadEvent::Prober(event));
            }
        }
    }

    /// Waits for a datagram, a new plan, or the prober's deadline. Returns the addresses whose sockets have something to read, and what:
    /// a socket with ICMP errors has `POLLERR` (ip(7), `IP_RECVERR`).
    fn wait(&self, shared: &Shared) -> Vec<(IpAddr, PollFlags)> {
        let deadline = shared.lock().port.next_deadline();
        let until = deadline.map_or(IDLE, |deadline| deadline.saturating_sub(shared.origin.elapsed()).min(IDLE));
        let until = self.bind_again.map_or(until, |again| until.min(again.saturating_duration_since(Instant::now())));
        // Rounded up: a poll that ends too early finds nothing to do.
        let timeout = u16::try_from(until.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let sockets = self.sockets.values().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        let mut waited: Vec<PollFd<'_>> = sockets.collect();
        waited.push(PollFd::new(shared.wake.as_fd(), PollFlags::POLLIN));
        if poll(&mut waited, PollTimeout::from(timeout)).is_err() {
            return Vec::new();
        }
        let readiness = |polled: &PollFd<'_>| polled.revents().unwrap_or(PollFlags::POLLERR);
        if waited.last().is_some_and(|wake| !readiness(wake).is_empty()) {
            // Several wake-ups count as one.
            let _ = shared.wake.read();
        }
        let sockets = self.sockets.keys().copied().zip(waited.iter().map(readiness));
        sockets.filter(|(_, readiness)| !readiness.is_empty()).collect()
    }

    fn bind(&mut self, state: &mut State, now: Duration) {
        let Some(listen) = state.plan.as_ref().map(|plan| &plan.listen) else { return };
        self.sockets.retain(|address, _| listen.contains(address));
        let missing: Vec<IpAddr> =
            listen.iter().filter(|address| !self.sockets.contains_key(address)).copied().collect();
        if !missing.is_empty() && self.bind_again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        let wanted = listen.len();
        let mut taken = BTreeSet::new();
        for address in missing {
            match ProbeSocket::bind(address) {
                Ok(socket) => {
                    self.sockets.insert(address, socket);
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::AddrInUse {
                        taken.insert(address);
                    }
                    tracing::debug!(event = "probe_address_not_bound", %address, %error);
                }
            }
        }
        self.bind_again = (self.sockets.len() < wanted).then(|| Instant::now() + BIND_INTERVAL);
        if taken != state.taken {
            state.taken.clone_from(&taken);
            state.set_plan(now);
            // The receiver is closed when the agent ends.
            let _ = self.events.send(ThreadEvent::PortTaken(taken));
        }
    }
}

/// Datagrams and ICMP errors that are taken from a socket before the prober's deadlines are looked at again, at most: a flood delays them by
/// less than a millisecond.
const TAKEN_AT_ONCE: usize = 64;

fn take_datagrams(shared: &Shared, port: &mut ProbePort, socket: &ProbeSocket, buffer: &mut [u8]) {
    for _ in 0..TAKEN_AT_ONCE {
        let Some((from, datagram)) = socket.receive(buffer) else { break };
        if let Err(reason) = port.take_datagram(shared.origin.elapsed(), from, socket.address(), datagram) {
            shared.metrics.refused(reason);
            tracing::trace!(event = "packet_refused", %from, at = %socket.address(), %reason);
        }
    }
}

fn take_icmp_errors(shared: &Shared, port: &mut ProbePort, socket: &ProbeSocket, buffer: &mut [u8]) {
    for _ in 0..TAKEN_AT_ONCE {
        let Some((by, quoted)) = socket.next_refusal(buffer) else { break };
        if let Err(reason) = port.take_port_unreachable(shared.origin.elapsed(), by, quoted) {
            tracing::trace!(event = "icmp_error_refused", %by, at = %socket.address(), %reason);
        }
    }
}

fn send_datagrams(state: &mut State, sockets: &BTreeMap<IpAddr, ProbeSocket>) {
    while let Some(outgoing) = state.port.next_outgoing() {
        let Some(socket) = sockets.get(&outgoing.from) else { continue };
        let device = match (outgoing.shape, outgoing.egress) {
            (Shape::Encapsulated { .. }, _) => Some(HANDOVER_DEVICE),
            (Shape::Plain | Shape::Padded { .. }, Egress::Tunnel) => {
                state.plan.as_ref().map(|plan| plan.wireguard_device.as_str())
            }
            (Shape::Plain | Shape::Padded { .. }, Egress::Route) => None,
        };
        if let Err(error) = socket.send(outgoing.to, &outgoing.bytes, device) {
            tracing::trace!(event = "packet_not_sent", to = %outgoing.to, %error);
        }
    }
}
