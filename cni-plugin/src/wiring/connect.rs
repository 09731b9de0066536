//! Creating and removing a veth pair.

use std::os::fd::AsFd;

use carrick_netlink::link::{self, Change, VethEnd};
use carrick_netlink::{Family, Request, Socket, address, neighbour, queue, route};
use carrick_pods::device_settings::Setting;
use carrick_pods::pod_routes::HostEntries;

use super::veth::{Sockets, Wiring, bucket};
use crate::namespace::PodNamespace;
use crate::protocol::{Code, Error};
use crate::sysctl::apply;

/// The kernel's number of every namespace's loopback device (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

impl Wiring<'_> {
    /// Creates and configures the veth pair. After a failure nothing of it remains.
    ///
    /// # Errors
    ///
    /// The kernel rejected a request.
    pub(crate) fn connect(&self, sockets: &mut Sockets, namespace: &PodNamespace) -> Result<(), Error> {
        let near = VethEnd { name: self.host_device().to_owned(), mtu: self.mtu, mac: Some(self.host_mac()) };
        let far = VethEnd { name: self.pod_device().to_owned(), mtu: self.mtu, mac: Some(self.record.pod_mac()) };
        sockets
            .host
            .execute(&link::create_veth(&near, &far, namespace.file().as_fd()))
            .map_err(|error| self.explain_creation(&mut sockets.host, error))?;
        if let Err(mut error) = self.configure(sockets, namespace) {
            if let Err(again) = disconnect(&mut sockets.host, self.host_device()) {
                error.details.push_str(&format!("; and the clean-up failed: {again}"));
            }
            return Err(error);
        }
        Ok(())
    }

    fn configure(&self, sockets: &mut Sockets, namespace: &PodNamespace) -> Result<(), Error> {
        self.configure_host(&mut sockets.host)?;
        self.configure_pod(&mut sockets.pod, namespace)?;
        self.settle(sockets)
    }

    fn configure_host(&self, socket: &mut Socket) -> Result<(), Error> {
        let index = link::by_name(socket, self.host_device())?.index;
        Setting::of_record(self.record).into_iter().try_for_each(|setting| apply(setting, self.host_device()))?;
        let up = Change { up: Some(true), alias: Some(self.alias()), ..Change::default() };
        let mut requests = vec![link::change(index, self.host_device(), &up)];
        requests.extend(
            self.record.ingress.map(|rate| queue::replace_root(index, self.host_device(), &bucket(rate, self.mtu))),
        );
        let entries = HostEntries::of(self.record, index);
        requests.extend(entries.address.as_ref().map(address::add));
        requests.extend(entries.routes.iter().map(route::add));
        requests.extend(entries.neighbours.iter().map(neighbour::replace));
        execute_all(socket, &requests)
    }

    fn configure_pod(&self, socket: &mut Socket, namespace: &PodNamespace) -> Result<(), Error> {
        let index = link::by_name(socket, self.pod_device())?.index;
        namespace.enter(|| {
            let has_v6 = self.families().any(|family| family == Family::V6);
            let of_v6 = [Setting::Ipv6, Setting::NoDuplicateDetection, Setting::NoRouterAdvertisements];
            of_v6.into_iter().filter(|_| has_v6).try_for_each(|setting| apply(setting, self.pod_device()))
        })?;
        let up = Change { up: Some(true), ..Change::default() };
        let mut requests = vec![link::change(LOOPBACK, "lo", &up), link::change(index, self.pod_device(), &up)];
        requests.extend(
            self.record.egress.map(|rate| queue::replace_root(index, self.pod_device(), &bucket(rate, self.mtu))),
        );
        requests.extend(self.pod_addresses(index).iter().map(address::add));
        requests.extend(self.pod_routes(index).iter().map(route::add));
        requests.extend(self.pod_neighbours(index).iter().map(neighbour::replace));
        execute_all(socket, &requests)
    }

    /// The kernel does not report which of the two device names is in use.
    fn explain_creation(&self, host: &mut Socket, error: carrick_netlink::Error) -> Error {
        if !error.is_exists() || link::by_name(host, self.host_device()).is_ok() {
            return error.into();
        }
        let details = format!("CNI_IFNAME: the pod already has an interface {}", self.pod_device());
        Error::new(Code::InvalidEnvironment, "the interface name is in use", details)
    }
}

/// Removes the veth pair with this host's end, and with it all addresses, routes and neighbours at both ends. A device that does not
/// exist is no error.
///
/// # Errors
///
/// The kernel rejected a request.
pub(crate) fn disconnect(host: &mut Socket, host_device: &str) -> Result<(), carrick_netlink::Error> {
    let deleted =
        link::by_name(host, host_device).and_then(|link| host.execute(&link::delete(link.index, host_device)));
    match deleted {
        Err(error) if error.is_not_found() => Ok(()),
        deleted => deleted,
    }
}

fn execute_all(socket: &mut Socket, requests: &[Request]) -> Result<(), Error> {
    for result in socket.batch(requests) {
        result?;
    }
    Ok(())
}
