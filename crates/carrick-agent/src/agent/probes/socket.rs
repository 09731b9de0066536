//! A UDP socket on one of the node's own addresses, for probes and answers.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use carrick_probe::Shape;
use carrick_topology::constants::{HANDOVER_DEVICE, PROBE_PORT};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};

use crate::agent::icmp_errors::{Said, next_icmp_error};

/// Headers of IPv4 and UDP, in bytes.
const HEADERS_V4: usize = 20 + 8;
/// Headers of IPv6 and UDP, in bytes.
const HEADERS_V6: usize = 40 + 8;

/// The largest datagram that is sent or received, in bytes.
pub(super) const LARGEST_DATAGRAM: usize = 65_535;

/// The socket. Its calls never block.
#[derive(Debug)]
pub(super) struct ProbeSocket {
    socket: UdpSocket,
    address: IpAddr,
}

impl ProbeSocket {
    /// Binds to an own address. The kernel neither fragments what the socket sends nor limits it to the path MTU that it knows, so that the
    /// path MTU can be measured (ip(7), `IP_PMTUDISC_PROBE`).
    pub(super) fn bind(address: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(address, PROBE_PORT))?;
        socket.set_nonblocking(true)?;
        match address {
            IpAddr::V4(_) => {
                set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
                setsockopt(&socket, Ipv4RecvErr, &true)?;
            }
            IpAddr::V6(_) => {
                set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
                setsockopt(&socket, Ipv6RecvErr, &true)?;
            }
        }
        Ok(Self { socket, address })
    }

    /// The own address.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends a datagram in this shape: padded with zeros until the IP packet has its size, and encapsulated by the handover device.
    pub(super) fn send(&self, to: IpAddr, datagram: &[u8], shape: Shape) -> io::Result<()> {
        let to = SocketAddr::new(to, PROBE_PORT);
        match shape {
            Shape::Plain => self.socket.send_to(datagram, to).map(drop),
            Shape::Padded { ip_bytes } => self.socket.send_to(&padded(datagram, to.ip(), ip_bytes), to).map(drop),
            Shape::Encapsulated { ip_bytes } => self.send_encapsulated(to, &padded(datagram, to.ip(), ip_bytes)),
        }
    }

    /// The packet names the device, because no route leads the host's own packets there.
    fn send_encapsulated(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let SocketAddr::V4(to) = to else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "only IPv4 packets can be encapsulated"));
        };
        let device = if_nametoindex(HANDOVER_DEVICE)?;
        let by = libc::in_pktinfo {
            ipi_ifindex: device.cast_signed(),
            ipi_spec_dst: libc::in_addr { s_addr: 0 },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&by)];
        let data = [io::IoSlice::new(datagram)];
        let to = SockaddrIn::from(to);
        sendmsg(self.socket.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    /// The next datagram in the socket, with its sender.
    pub(super) fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<(IpAddr, &'b [u8])> {
        loop {
            match self.socket.recv_from(buffer) {
                // Agents send from the probe port.
                Ok((length, from)) if from.port() == PROBE_PORT => {
                    return Some((from.ip().to_canonical(), &buffer[..length]));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP error is read from the error queue; here the call only fails once.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused || is_unreachable(&error) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next node whose kernel says that no agent listens on the port: the kernel is alive, and the path is open in both directions.
    pub(super) fn next_refusal(&self) -> Option<IpAddr> {
        loop {
            let error = next_icmp_error(&self.socket)?;
            if error.said == Said::PortClosed && error.to.ip() == error.by {
                return Some(error.by);
            }
        }
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn padded(datagram: &[u8], to: IpAddr, ip_bytes: u32) -> Vec<u8> {
    let headers = if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
    let wanted = usize::try_from(ip_bytes).unwrap_or(usize::MAX).saturating_sub(headers);
    let mut padded = datagram.to_vec();
    padded.resize(wanted.clamp(datagram.len(), LARGEST_DATAGRAM), 0);
    padded
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EMSGSIZE | Errno::EACCES | Errno::EPROTO)
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;

    fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(found) = attempt() {
                return found;
            }
            assert!(Instant::now() < deadline, "nothing arrived");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_datagram_arrives_padded_and_a_closed_port_is_reported() {
        // Loopback addresses of this test's own.
        let addresses = [Ipv4Addr::new(127, 17, 7, 1), Ipv4Addr::new(127, 17, 7, 2)].map(IpAddr::V4);
        let [one, two] = addresses.map(|address| ProbeSocket::bind(address).unwrap());
        one.send(addresses[1], b"probe", Shape::Padded { ip_bytes: 1300 }).unwrap();
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        let (from, length) =
            eventually(|| two.receive(&mut buffer).map(|(from, datagram)| (from, datagram.len() + HEADERS_V4)));
        assert_eq!((from, length), (addresses[0], 1300));
        assert_eq!(one.next_refusal(), None);

        drop(two);
        one.send(addresses[1], b"probe", Shape::Plain).unwrap();
        assert_eq!(eventually(|| one.next_refusal()), addresses[1]);
        assert_eq!(one.receive(&mut buffer), None);
    }

    #[test]
    fn a_closed_port_is_reported_over_ipv6() {
        let loopback = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]);
        let socket = UdpSocket::bind((loopback, 0)).unwrap();
        set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE).unwrap();
        setsockopt(&socket, Ipv6RecvErr, &true).unwrap();
        let socket = ProbeSocket { socket, address: loopback };
        socket.send(loopback, b"probe", Shape::Plain).unwrap();
        assert_eq!(eventually(|| socket.next_refusal()), loopback);
    }
}
