//! How the agent begins to listen on an address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use carrick_netlink::route::Kind;
use carrick_netlink::{Protocol, Socket, route};
use tokio::net::TcpListener;

use crate::agent::AgentError;

/// The kernel's kind of route to the broadcast address of a network (`RTN_BROADCAST`).
const BROADCAST: Kind = Kind::Other(3);

/// Why the agent does not listen on an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    /// No interface has the address. It may come: a VPN, a virtual router or a DHCP client may bring it after the agent has started.
    #[error("--listen {0}: no interface of the host has this address yet")]
    NotYet(SocketAddr),
    /// A network of the host has this address for all hosts.
    #[error("--listen {0}: this is the broadcast address of a network of the host; name an address of the host")]
    Broadcast(SocketAddr),
    /// Another program listens there.
    #[error("--listen {0}: the port is in use (does another agent run on this node?)")]
    InUse(SocketAddr),
    /// Another reason.
    #[error("--listen {0}: {1}")]
    Refused(SocketAddr, io::Error),
}

impl From<BindError> for AgentError {
    fn from(error: BindError) -> Self {
        Self::Configuration(error.to_string())
    }
}

/// Listens on an address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    if is_broadcast(address.ip()) {
        return Err(BindError::Broadcast(address));
    }
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => BindError::NotYet(address),
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        _ => BindError::Refused(address, error),
    })
}

/// Whether a network of the host has the address for all hosts. The kernel lets programs listen there, and no client reaches them.
fn is_broadcast(address: IpAddr) -> bool {
    let route = Socket::open(Protocol::Route).and_then(|mut socket| route::lookup(&mut socket, address, 0));
    route.is_ok_and(|route| route.kind == BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(address: SocketAddr) -> BindError {
        bind(address).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_served_is_named_with_its_flag_and_the_reason() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = refusal(address).await;
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        assert_eq!(
            error.to_string(),
            format!("--listen {address}: the port is in use (does another agent run on this node?)")
        );
        for absent in ["192.0.2.77:1107", "[2001:db8::77]:1107"] {
            let error = refusal(absent.parse().unwrap()).await;
            assert!(matches!(error, BindError::NotYet(_)), "{absent}: {error}");
            assert!(error.to_string().contains(&format!("--listen {absent}")), "{error}");
        }
        let broadcast = refusal("127.255.255.255:1107".parse().unwrap()).await;
        assert!(matches!(broadcast, BindError::Broadcast(_)), "{broadcast}");
    }
}
