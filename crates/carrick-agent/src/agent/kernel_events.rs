//! The kernel's notifications, as the event loop takes them.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use carrick_core::DriftKind;
use carrick_dataplane::drift::{Drift, DriftWatch};
use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::monitor::{Configured, Event, Group, Monitor, Verb};
use carrick_netlink::{Protocol, Socket};
use carrick_pods::is_host_device;
use carrick_pods::pod_routes::{can_replace_pod_route, is_pod_route};
use carrick_topology::constants::HANDOVER_DEVICE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::AgentError;
use super::interfaces::{is_network, is_of_host};

/// The subject of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KernelEvent {
    /// Something that Carrick owns.
    Own(DriftKind),
    /// The host's interfaces, addresses or default routes.
    Interfaces,
    /// A device of the host is up again. When it went down, the kernel removed the IPv4 routes over it without a notification.
    UplinkUp,
    /// Something of the host's end of one of the node's own pods was removed or changed.
    PodRouteRemoved,
    /// A file of the CNI plugin's installation changed or is gone.
    PodFilesChanged,
}

/// What other programs change of Carrick's, without the changes that the kernel thread makes.
pub(super) struct Watches {
    /// Devices, addresses, routes, rules, neighbours, settings.
    pub(super) routing: DriftWatch,
    /// Transactions on nftables.
    pub(super) nftables: Monitor,
}

/// Starts the threads that receive notifications, in the caller's network namespace. They end when the receiver of `to_loop` is dropped.
///
/// # Errors
/// The kernel gives no socket.
pub(super) fn start(own: Watches, to_loop: &mpsc::Sender<KernelEvent>) -> Result<(), AgentError> {
    let monitor = Monitor::route(&Group::ALL)?;
    let host = Host { monitor, down: BTreeSet::new(), pods: PodDevices::find()? };
    thread("drift", own.routing, to_loop.clone(), read_own)?;
    thread("routing", host, to_loop.clone(), Host::read)?;
    thread("nftables", own.nftables, to_loop.clone(), |monitor| {
        Ok(monitor.wait()?.iter().map(|_| KernelEvent::Own(DriftKind::Nftables)).collect())
    })
}

type Read<T> = fn(&mut T) -> Result<Vec<KernelEvent>, carrick_netlink::Error>;

fn thread<T: Send + 'static>(
    name: &str,
    mut source: T,
    to_loop: mpsc::Sender<KernelEvent>,
    read: Read<T>,
) -> Result<(), AgentError> {
    let listen = move || loop {
        match read(&mut source) {
            Ok(mut seen) => {
                seen.sort_unstable();
                seen.dedup();
                if seen.into_iter().any(|event| to_loop.blocking_send(event).is_err()) {
                    return;
                }
            }
            Err(error) => {
                // The periodic observation still finds what is missed from here on.
                tracing::error!(event = "monitor_failed", %error);
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(listen)
        .map(drop)
        .map_err(|error| AgentError::Start(format!("a thread: {error}")))
}

fn read_own(watch: &mut DriftWatch) -> Result<Vec<KernelEvent>, carrick_netlink::Error> {
    let mut ready = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait reads nothing and comes again.
    let _ = poll(&mut ready, PollTimeout::NONE);
    Ok(watch.read()?.iter().map(kind).map(KernelEvent::Own).collect())
}

const fn kind(drift: &Drift) -> DriftKind {
    match drift {
        Drift::Device(_) => DriftKind::Device,
        Drift::Address(_) => DriftKind::Address,
        Drift::Route(_) => DriftKind::Route,
        Drift::Rule(_) => DriftKind::Rule,
        Drift::Neighbours(_) => DriftKind::Neighbours,
        Drift::Setting => DriftKind::Setting,
        Drift::Lost => DriftKind::Lost,
    }
}

/// Changes of the host's own devices, addresses and routes.
struct Host {
    monitor: Monitor,
    /// The uplinks that went down, by number.
    down: BTreeSet<u32>,
    pods: PodDevices,
}

impl Host {
    fn read(&mut self) -> Result<Vec<KernelEvent>, carrick_netlink::Error> {
        let events = self.monitor.wait()?;
        let seen =
            events.iter().flat_map(|event| [of_interfaces(event), self.of_uplinks(event), self.pods.take(event)]);
        Ok(seen.flatten().collect())
    }

    fn of_uplinks(&mut self, event: &Event) -> Option<KernelEvent> {
        let Event::Link(verb, link) = event else { return None };
        if !is_uplink(link) {
            return None;
        }
        let is_back = match (verb, link.up) {
            (Verb::Set, false) => {
                self.down.insert(link.index);
                false
            }
            (Verb::Set, true) => self.down.remove(&link.index),
            (Verb::Deleted, _) => {
                self.down.remove(&link.index);
                false
            }
        };
        is_back.then_some(KernelEvent::UplinkUp)
    }
}

/// Whether a device can be an uplink. The devices of pods and of handovers come and go, and cannot.
fn is_uplink(link: &Link) -> bool {
    let is_pods = link.kind == LinkKind::Veth && !link.name.starts_with("eth");
    !is_pods && link.name != HANDOVER_DEVICE
}

fn of_interfaces(event: &Event) -> Option<KernelEvent> {
    let concerns = match event {
        Event::Link(_, link) => is_uplink(link),
        Event::Address(..) | Event::Lost => true,
        Event::Route(_, route) => route.destination.prefix_len() == 0 || is_network(route),
        Event::Rule(_, rule) => is_of_host(rule.table),
        Event::Neighbour { .. } | Event::Setting(_) | Event::Nftables { .. } => false,
    };
    concerns.then_some(KernelEvent::Interfaces)
}

/// The host's ends of the pods that ADD has finished, by number.
#[derive(Debug)]
struct PodDevices(BTreeSet<u32>);

impl PodDevices {
    fn find() -> Result<Self, carrick_netlink::Error> {
        let links = link::dump(&mut Socket::open(Protocol::Route)?)?;
        let finished = links.iter().filter(|link| is_host_device(&link.name) && link.up && link.operational);
        Ok(Self(finished.map(|link| link.index).collect()))
    }

    /// A running ADD or DEL causes no event, except by the routes that go with a device.
    fn take(&mut self, event: &Event) -> Option<KernelEvent> {
        let concerns = match event {
            Event::Link(Verb::Set, link) if is_host_device(&link.name) => {
                let is_finished = link.up && link.operational;
                // A device that stays up and has another Ethernet address is told like one that comes up.
                if is_finished { !self.0.insert(link.index) } else { self.0.contains(&link.index) }
            }
            Event::Link(Verb::Deleted, link) => {
                self.0.remove(&link.index);
                false
            }
            Event::Route(Verb::Deleted, route) => is_pod_route(route),
            Event::Route(Verb::Set, route) => can_replace_pod_route(route),
            Event::Address(Verb::Deleted, address) => self.0.contains(&address.link),
            Event::Neighbour { link } => self.0.contains(link),
            Event::Setting(Configured::Device(device)) => self.0.contains(device),
            Event::Setting(Configured::All) | Event::Lost => true,
            Event::Setting(Configured::Default)
            | Event::Link(Verb::Set, _)
            | Event::Address(Verb::Set, _)
            | Event::Rule(..)
            | Event::Nftables { .. } => false,
        };
        concerns.then_some(KernelEvent::PodRouteRemoved)
    }
}
