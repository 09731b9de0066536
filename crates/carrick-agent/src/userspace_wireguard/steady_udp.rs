//! UDP sockets for the engine that stay open for as long as the port stays.
//!
//! The engine asks for a new socket whenever its identity or its port changes, and ends its data path for good on the
//! first error that a socket returns. Neither suits a data path that must not lose packets by being configured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gotatun::packet::{Packet, PacketBufPool};
use gotatun::udp::socket::{UdpSocket, UdpSocketFactory};
use gotatun::udp::{UdpRecv, UdpSend, UdpTransportFactory, UdpTransportFactoryParams};

/// Receive and send buffer in bytes, against bursts; the kernel caps them at `net.core.rmem_max` and `wmem_max`.
const BUFFER_SIZE: usize = 4 << 20;

/// How long to wait after a receive error.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Creates sockets. Returns the present socket again if the port does not change.
pub struct SteadyUdp {
    factory: UdpSocketFactory,
    bound: Option<Bound>,
}

struct Bound {
    port: u16,
    socket: UdpSocket,
}

/// The receiving side: an error is logged and survived.
pub struct SteadyReceiver(UdpSocket);

impl SteadyUdp {
    /// A factory without a socket yet.
    pub fn new() -> Self {
        Self {
            factory: UdpSocketFactory { recv_buffer_size: Some(BUFFER_SIZE), send_buffer_size: Some(BUFFER_SIZE) },
            bound: None,
        }
    }
}

impl UdpTransportFactory for SteadyUdp {
    type Send = UdpSocket;
    type Recv = SteadyReceiver;

    async fn bind(&mut self, parameters: &UdpTransportFactoryParams) -> io::Result<(UdpSocket, SteadyReceiver)> {
        if let Some(bound) = &self.bound
            && bound.port == parameters.port
        {
            bound.socket.set_fwmark(parameters.fwmark.unwrap_or(0))?;
            return Ok((bound.socket.clone(), SteadyReceiver(bound.socket.clone())));
        }
        let (socket, _) = self.factory.bind(parameters).await?;
        let port = socket.local_addr()?.port();
        self.bound = Some(Bound { port, socket: socket.clone() });
        Ok((socket.clone(), SteadyReceiver(socket)))
    }
}

impl SteadyReceiver {
    async fn survive(error: &io::Error) {
        tracing::warn!(event = "udp_receive_failed", %error);
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

impl UdpRecv for SteadyReceiver {
    type RecvManyBuf = <UdpSocket as UdpRecv>::RecvManyBuf;

    async fn recv_from(&mut self, pool: &mut PacketBufPool) -> io::Result<(Packet, SocketAddr)> {
        loop {
            match self.0.recv_from(pool).await {
                Ok(received) => return Ok(received),
                Err(error) => Self::survive(&error).await,
            }
        }
    }

    async fn recv_many_from(
        &mut self,
        buffer: &mut Self::RecvManyBuf,
        pool: &mut PacketBufPool,
        packets: &mut Vec<(Packet, SocketAddr)>,
    ) -> io::Result<()> {
        loop {
            match self.0.recv_many_from(buffer, pool, packets).await {
                Ok(()) => return Ok(()),
                Err(error) => Self::survive(&error).await,
            }
        }
    }

    fn enable_udp_gro(&self) -> io::Result<()> {
        UdpRecv::enable_udp_gro(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(port: u16) -> UdpTransportFactoryParams {
        UdpTransportFactoryParams { addr: None, port, fwmark: None }
    }

    #[tokio::test]
    async fn the_present_port_keeps_its_socket() {
        let mut factory = SteadyUdp::new();
        let (first, _) = factory.bind(&parameters(0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        // A second socket on the port would be refused with EADDRINUSE: the first one is still open.
        let (second, _) = factory.bind(&parameters(port)).await.unwrap();
        assert!(std::ptr::eq(first.socket(), second.socket()));
    }

    #[tokio::test]
    async fn a_port_in_use_leaves_the_present_socket() {
        let taken = std::net::UdpSocket::bind("[::]:0").unwrap();
        let mut factory = SteadyUdp::new();
        let (first, _) = factory.bind(&parameters(0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let taken_port = taken.local_addr().unwrap().port();
        assert!(factory.bind(&parameters(taken_port)).await.is_err());
        let (again, _) = factory.bind(&parameters(port)).await.unwrap();
        assert!(std::ptr::eq(first.socket(), again.socket()));
    }
}
