//! Tracked UDP connections that are older than the host ports.
//!
//! The kernel looks up only the first packet of a connection in the table. For UDP, all datagrams between two addresses and ports are
//! one connection until none arrives for a while. Without this module, a client that keeps sending would never reach a new pod.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use carrick_netlink::conntrack::{self, Connection, Filter};
use carrick_netlink::{Error, Protocol, Socket, address};
use nix::errno::Errno;

use crate::host_port::{HostPort, Transport};
use crate::ipam::Record;

/// Deletes the tracked connections that go to the record's pod through its host ports. The host ports must be removed first.
///
/// # Errors
///
/// The kernel rejected a request.
pub(super) fn delete_translated(record: &Record) -> Result<(), Error> {
    delete(std::slice::from_ref(record), |port, pod, connection| {
        connection.reply.source == SocketAddr::new(pod, port.pod_port)
    })
}

/// Deletes the tracked connections that go to the host itself although the records have host ports for them. The host ports must be
/// added first.
///
/// # Errors
///
/// The kernel rejected a request.
pub(super) fn delete_untranslated(records: &[Record]) -> Result<(), Error> {
    if udp_ports(records).next().is_none() {
        return Ok(());
    }
    let addresses = address::dump(&mut Socket::open(Protocol::Route)?, None)?;
    let of_host: BTreeSet<IpAddr> = addresses.into_iter().map(|address| address.network.addr()).collect();
    delete(records, |port, _, connection| {
        let sent_to = connection.original.destination.ip();
        let is_meant = if port.host.is_unspecified() { of_host.contains(&sent_to) } else { sent_to == port.host };
        is_meant && !connection.is_destination_translated()
    })
}

fn udp_ports(records: &[Record]) -> impl Iterator<Item = (&HostPort, IpAddr)> {
    let ports = records.iter().flat_map(|record| record.host_ports.iter().map(move |port| (record, port)));
    let of_udp = ports.filter(|(_, port)| port.transport == Transport::Udp);
    of_udp.filter_map(|(record, port)| Some((port, record.destination(port)?)))
}

/// If the kernel has no connection tracking over netlink, nothing is deleted, and old connections expire.
fn delete(records: &[Record], is_old: impl Fn(&HostPort, IpAddr, &Connection) -> bool) -> Result<(), Error> {
    let mut socket = None;
    for (port, pod) in udp_ports(records) {
        let socket = match &mut socket {
            Some(socket) => socket,
            None => socket.insert(Socket::open(Protocol::Netfilter)?),
        };
        let filter = Filter { family: port.family(), protocol: port.transport.number(), port: port.host_port };
        let connections = match conntrack::dump(socket, &filter) {
            Err(error) if error.is_not_supported() || error.errno() == Some(Errno::EINVAL) => return Ok(()),
            connections => connections?,
        };
        let old = connections.iter().filter(|connection| is_old(port, pod, connection));
        for result in socket.batch(&old.map(conntrack::delete).collect::<Vec<_>>()) {
            match result {
                Err(error) if error.is_not_found() => {}
                deleted => deleted?,
            }
        }
    }
    Ok(())
}
