//! The open TCP connections to the API server, by their local addresses.
//!
//! When a host loses an address, the kernel keeps the TCP connections that have it as local address. A watch only receives, so that it would
//! find out after a minute and more. The owner of the client ends these connections instead: [`Connections::end_from`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Shutdown};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The connections of a client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
    network_changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Ends>,
}

/// What ends a connection: its socket, once more.
#[derive(Debug)]
struct Ends {
    local: IpAddr,
    socket: Socket,
}

impl Connections {
    /// Ends the connections from addresses that the host has lost. Returns how many they were.
    pub fn end_from(&self, lost: &BTreeSet<IpAddr>) -> usize {
        let open = self.lock();
        let ended: Vec<_> = open.by_number.values().filter(|ends| lost.contains(&ends.local)).collect();
        for ends in &ended {
            // The peer may have ended the connection in the meantime.
            let _ = ends.socket.shutdown(Shutdown::Both);
        }
        ended.len()
    }

    /// The host has other addresses or routes. Connections that are being established start again, from the address that the kernel chooses
    /// now, and a watch that waits after a failure tries again at once.
    pub fn network_changed(&self) {
        self.network_changes.send_modify(|number| *number += 1);
    }

    /// Changes each time that the host's network does.
    pub(crate) fn network_changes(&self) -> watch::Receiver<u64> {
        self.network_changes.subscribe()
    }

    /// Knows a connection until the result is dropped.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn register(&self, stream: TcpStream) -> io::Result<RegisteredStream> {
        let local = stream.local_addr()?.ip().to_canonical();
        let socket = SockRef::from(&stream).try_clone()?;
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Ends { local, socket });
        drop(open);
        Ok(RegisteredStream { stream, number, connections: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A TCP stream that [`Connections`] know.
#[derive(Debug)]
pub(crate) struct RegisteredStream {
    stream: TcpStream,
    number: u64,
    connections: Connections,
}

#[cfg(test)]
impl RegisteredStream {
    pub(crate) const fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for RegisteredStream {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
    }
}

impl Connection for RegisteredStream {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl AsyncRead for RegisteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for RegisteredStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A connection from an address of this host, and the server's end of it.
    async fn from(connections: &Connections, local: &str) -> (RegisteredStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{local}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        (connections.register(stream).unwrap(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_lost_address_ends_its_connections_and_no_others() {
        let connections = Connections::default();
        let (mut one, mut at_one) = from(&connections, "127.0.0.2").await;
        let (mut two, mut at_two) = from(&connections, "127.0.0.3").await;
        let lost = ["127.0.0.2", "2001:db8::1"].map(|address| address.parse().unwrap());
        assert_eq!(connections.end_from(&lost.into()), 1);
        let mut byte = [0];
        assert_eq!(one.read(&mut byte).await.unwrap(), 0, "a reader sees the end");
        assert_eq!(at_one.read(&mut byte).await.unwrap(), 0);
        at_two.try_write(&[7]).unwrap();
        assert_eq!(two.read(&mut byte).await.unwrap(), 1);
        drop(two);
        assert_eq!(at_two.read(&mut byte).await.unwrap(), 0, "nothing keeps a dropped connection open");
        assert_eq!(connections.end_from(&["127.0.0.3".parse().unwrap()].into()), 0);
    }
}
