//! The kernel's notifications, as the event loop takes them.

use carrick_cni::pod_routes::is_pod_route;
use carrick_dataplane::drift::{Drift, DriftWatch};
use carrick_netlink::link::LinkKind;
use carrick_netlink::monitor::{Event, Group, Monitor, Verb};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use tokio::sync::mpsc;

use super::AgentError;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// Something that Carrick owns; what, in a word.
    Own(&'static str),
    /// The host's interfaces, addresses or default routes.
    Interfaces,
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
    let (routing, nftables) = (Monitor::route(&INTERFACE_GROUPS)?, Monitor::nftables()?);
    thread("drift", own, notices.clone(), read_own)?;
    thread("routing", routing, notices.clone(), |monitor| {
        Ok(monitor.wait()?.iter().flat_map(|event| [of_interfaces(event), of_pods(event)]).flatten().collect())
    })?;
    thread("nftables", nftables, notices.clone(), |monitor| {
        Ok(monitor.wait()?.iter().map(|_| Notice::Own("nftables")).collect())
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
    Ok(watch.read()?.iter().map(Drift::kind).map(Notice::Own).collect())
}

fn of_interfaces(event: &Event) -> Option<Notice> {
    let concerns = match event {
        // Pods come and go; their devices are nobody's uplink.
        Event::Link(_, link) => link.kind != LinkKind::Veth || link.name.starts_with("eth"),
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
