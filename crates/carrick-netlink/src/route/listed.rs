//! Routes with all that the kernel tells of them.

use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use nix::errno::Errno;

use super::{Filter, RTM_DELROUTE, RTM_GETROUTE, Route, read};
use crate::error::none_without_family;
use crate::family::KernelFamily as _;
use crate::request::encode;
use crate::{Error, Request, Socket};

/// Bytes of `struct rtmsg` that hold the length of the source prefix and the type of service.
const SOURCE_LENGTH: usize = 2;
const TYPE_OF_SERVICE: usize = 3;

/// A route in a received list.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedRoute<'a> {
    /// What [`Route`] holds of it.
    pub route: Route,
    pub(super) message: &'a [u8],
}

/// A route as the kernel told it: next hops, encapsulation and conditions included, which [`Route`] does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRoute {
    /// What [`Route`] holds of it.
    pub route: Route,
    message: Vec<u8>,
}

/// Lists routes. A table that does not exist has none, and neither has a kernel without the family.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump(socket: &mut Socket, filter: &Filter) -> Result<Vec<Route>, Error> {
    dump_as(socket, filter, |received| received.route)
}

/// Lists routes, each turned into what the caller keeps of it.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump_as<T>(
    socket: &mut Socket,
    filter: &Filter,
    keep: impl Fn(ReceivedRoute<'_>) -> T,
) -> Result<Vec<T>, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = filter.family.to_kernel();
    message.header.protocol = filter.protocol.unwrap_or_default().into();
    message.attributes.extend(filter.table.map(RouteAttribute::Table));
    message.attributes.extend(filter.device.map(RouteAttribute::Oif));
    let object = format!("{} routes", filter.family);
    let request = Request::dump("list", object.clone(), RTM_GETROUTE, encode(&message));
    let kept = socket.query(&request, |frame| {
        let route = read(frame).map_err(|cause| Error::new("list", object.clone(), cause))?;
        // Kernels and families differ in what they filter.
        let received = route.map(|route| ReceivedRoute { route, message: frame.payload });
        Ok(received.filter(|received| filter.matches(&received.route)).map(&keep))
    });
    match none_without_family(kept) {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
        kept => kept,
    }
}

impl ReceivedRoute<'_> {
    /// Whether the route takes packets with a certain type of service or source alone. Such a route stands beside the route of the same
    /// destination and metric that takes all packets; neither replaces the other.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        [SOURCE_LENGTH, TYPE_OF_SERVICE].iter().any(|at| self.message.get(*at).is_some_and(|byte| *byte != 0))
    }

    /// The route for later.
    #[must_use]
    pub fn to_listed(&self) -> ListedRoute {
        ListedRoute { route: self.route, message: self.message.to_vec() }
    }
}

impl ListedRoute {
    /// See [`ReceivedRoute::is_selective`].
    #[must_use]
    pub fn is_selective(&self) -> bool {
        ReceivedRoute { route: self.route, message: &self.message }.is_selective()
    }

    /// Removes exactly this route: the kernel gets back what it told, as from `ip route flush`.
    #[must_use]
    pub fn delete(&self) -> Request {
        Request::write("delete route", self.route.to_string(), RTM_DELROUTE, 0, self.message.clone())
    }
}
