//! The kernel's notifications, as the event loop takes them.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use carrick_dataplane::drift::{Drift, DriftWatch};
use carrick_netlink::link::{Link, LinkKind};
use carrick_netlink::monitor::{Event, Group, Monitor, Verb};
use carrick_pods::pod_routes::is_pod_route;
use carrick_topology::constants::HANDOVER_DEVICE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::AgentError;
use crate::core::DriftKind;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// Something that Carrick owns.
    Own(DriftKind),
    /// The host's interfaces, addresses or default routes.
    Interfaces,
    /// One of the host's devices is up again. The kernel dropped the IPv4 routes over it when it went down, and told nobody.
    UplinkBack,
    /// A route to one of the node's own pods is gone.
    PodRoutes,
}

/// Groups that tell of the host's own interfaces.
const INTERFACE_GROUPS: [Group; 5] = [Group::Link, Group::AddressV4, Group::AddressV6, Group::RouteV4, Group::RouteV6];

/// Starts the threads that listen, in the caller's network namespace. They end when `notices` is closed.
///
/// # Errors
/// The kernel gives no socket.
pub(super) fn start(own: DriftWatch, notices: &mpsc::Sender<Notice>) -> Result<(), AgentError> {
    let host = Host { monitor: Monitor::route(&INTERFACE_GROUPS)?, down: BTreeSet::new() };
    let nftables = Monitor::nftables()?;
    thread("drift", own, notices.clone(), read_own)?;
    thread("routing", host, notices.clone(), Host::read)?;
    thread("nftables", nftables, notices.clone(), |monitor| {
        Ok(monitor.wait()?.iter().map(|_| Notice::Own(DriftKind::Nftables)).collect())
    })
}

type Read<T> = fn(&mut T) -> Result<Vec<Notice>, carrick_netlink::Error>;

fn thread<T: Send + 'static>(
    name: &str,
    mut source: T,
    notices: mpsc::Sender<Notice>,
    read: Read<T>,
) -> Result<(), AgentError> {
    let listen = move || loop {
        match read(&mut source) {
            Ok(mut seen) => {
                seen.sort_unstable();
                seen.dedup();
                if seen.into_iter().any(|notice| notices.blocking_send(notice).is_err()) {
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

fn read_own(watch: &mut DriftWatch) -> Result<Vec<Notice>, carrick_netlink::Error> {
    let mut ready = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait reads nothing and comes again.
    let _ = poll(&mut ready, PollTimeout::NONE);
    Ok(watch.read()?.iter().map(kind).map(Notice::Own).collect())
}

const fn kind(drift: &Drift) -> DriftKind {
    match drift {
        Drift::Device(_) => DriftKind::Device,
        Drift::Address(_) => DriftKind::Address,
        Drift::Route(_) => DriftKind::Route,
        Drift::Rule(_) => DriftKind::Rule,
        Drift::Neighbours(_) => DriftKind::Neighbours,
        Drift::Lost => DriftKind::Lost,
    }
}

/// What the host's own devices, addresses and routes do.
struct Host {
    monitor: Monitor,
    /// The uplinks that went down, by number.
    down: BTreeSet<u32>,
}

impl Host {
    fn read(&mut self) -> Result<Vec<Notice>, carrick_netlink::Error> {
        let events = self.monitor.wait()?;
        let notices = events.iter().flat_map(|event| [of_interfaces(event), self.of_uplinks(event), of_pods(event)]);
        Ok(notices.flatten().collect())
    }

    fn of_uplinks(&mut self, event: &Event) -> Option<Notice> {
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
        is_back.then_some(Notice::UplinkBack)
    }
}

/// Pods come and go, and so does the device for handovers; these are nobody's uplink.
fn is_uplink(link: &Link) -> bool {
    let is_pods = link.kind == LinkKind::Veth && !link.name.starts_with("eth");
    !is_pods && link.name != HANDOVER_DEVICE
}

fn of_interfaces(event: &Event) -> Option<Notice> {
    let concerns = match event {
        Event::Link(_, link) => is_uplink(link),
        Event::Address(..) | Event::Lost => true,
        Event::Route(_, route) => route.destination.prefix_len() == 0,
        Event::Rule(..) | Event::Neighbour { .. } | Event::Nftables { .. } => false,
    };
    concerns.then_some(Notice::Interfaces)
}

fn of_pods(event: &Event) -> Option<Notice> {
    let concerns = match event {
        Event::Route(Verb::Deleted, route) => is_pod_route(route),
        Event::Lost => true,
        Event::Route(Verb::Set, _)
        | Event::Link(..)
        | Event::Address(..)
        | Event::Rule(..)
        | Event::Neighbour { .. }
        | Event::Nftables { .. } => false,
    };
    concerns.then_some(Notice::PodRoutes)
}
