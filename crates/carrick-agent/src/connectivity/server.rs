//! The server.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use super::MAXIMUM_BYTES;

/// A client that does not send its question, or does not take the answer, is left after this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest datagram of UDP.
const LONGEST: usize = 65_535;
const PIECE: [u8; 8192] = [b'c'; 8192];

/// Answers over TCP and UDP on a port, in both families where the kernel has both. Returns only with an error.
///
/// # Errors
/// The port is in use, or the socket failed.
pub fn serve(port: u16) -> io::Result<std::convert::Infallible> {
    let addresses = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    // A socket of IPv6 takes clients of IPv4 too. A kernel without IPv6 has the second one.
    let datagrams = UdpSocket::bind(addresses.as_slice())?;
    let listener = TcpListener::bind(addresses.as_slice())?;
    tracing::info!(event = "connectivity_server_started", address = %listener.local_addr()?);
    thread::spawn(move || return_datagrams(&datagrams));
    loop {
        let (stream, _) = listener.accept()?;
        // A client that goes away early is no fault of the server.
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = [0; 4];
    stream.read_exact(&mut question)?;
    let mut left = u32::from_be_bytes(question).min(MAXIMUM_BYTES) as usize;
    while left > 0 {
        let piece = left.min(PIECE.len());
        stream.write_all(&PIECE[..piece])?;
        left -= piece;
    }
    Ok(())
}

fn return_datagrams(socket: &UdpSocket) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An ICMP error about an earlier datagram, which its sender sees by the missing answer.
        let Ok((length, sender)) = socket.recv_from(&mut buffer) else { continue };
        let _unreachable = socket.send_to(&buffer[..length], sender);
    }
}
