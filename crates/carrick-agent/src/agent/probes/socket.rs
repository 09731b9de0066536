//! A UDP socket on one of the node's own addresses, for probes and answers.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use carrick_topology::constants::PROBE_PORT;
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};

use crate::agent::icmp_errors::{Said, next_icmp_error_with_quote};

/// The largest datagram that is received, in bytes.
pub(super) const LARGEST_DATAGRAM: usize = 65_535;

/// How often a datagram is sent again that an ICMP error kept from being sent, at most.
const MOST_SEND_AGAIN: usize = 3;

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

    /// Sends a datagram. It has its shape already. Where it names no device, its route says by which one it leaves.
    pub(super) fn send(&self, to: IpAddr, datagram: &[u8], device: Option<&str>) -> io::Result<()> {
        let to = SocketAddr::new(to, PROBE_PORT);
        let send = || match device {
            None => self.socket.send_to(datagram, to).map(drop),
            Some(device) => self.send_by(device, to, datagram),
        };
        // A call fails once for each ICMP error that came before, whatever it was about, and sends nothing (ip(7), `IP_RECVERR`).
        let mut sent = send();
        for _ in 0..MOST_SEND_AGAIN {
            if !sent.as_ref().is_err_and(is_of_an_icmp_error) {
                break;
            }
            sent = send();
        }
        sent
    }

    /// The packet names the device, because no route leads the host's own packets there. Over IPv4, the kernel takes the address for a
    /// neighbour then.
    fn send_by(&self, device: &str, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let SocketAddr::V4(to) = to else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only IPv4 packets leave by a device without a route",
            ));
        };
        let device = if_nametoindex(device)?;
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
                Err(error) if is_of_an_icmp_error(&error) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next node whose kernel says that no agent listens on the port, and the beginning of the datagram that it quotes: the kernel is
    /// alive, and the path is open in both directions.
    pub(super) fn next_refusal<'b>(&self, buffer: &'b mut [u8]) -> Option<(IpAddr, &'b [u8])> {
        loop {
            let (error, length) = next_icmp_error_with_quote(&self.socket, buffer)?;
            if error.said == Said::PortClosed && error.to.ip() == error.by {
                return Some((error.by, &buffer[..length]));
            }
        }
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a call may have failed for an ICMP error about an earlier datagram (icmp(7), "Errors").
fn is_of_an_icmp_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNREFUSED
                | Errno::EHOSTUNREACH
                | Errno::EHOSTDOWN
                | Errno::ENETUNREACH
                | Errno::ENOPROTOOPT
                | Errno::EMSGSIZE
                | Errno::EACCES
                | Errno::EPROTO
                | Errno::EOPNOTSUPP
                | Errno::ENONET
        )
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

    fn next_quote(socket: &ProbeSocket) -> Option<(IpAddr, Vec<u8>)> {
        socket.next_refusal(&mut [0; 64]).map(|(by, quoted)| (by, quoted.to_vec()))
    }

    #[test]
    fn a_datagram_arrives_and_a_closed_port_is_reported_with_what_was_sent() {
        // Loopback addresses of this test's own.
        let addresses = [Ipv4Addr::new(127, 17, 7, 1), Ipv4Addr::new(127, 17, 7, 2)].map(IpAddr::V4);
        let [one, two] = addresses.map(|address| ProbeSocket::bind(address).unwrap());
        let padded = [7; 1272];
        one.send(addresses[1], &padded, None).unwrap();
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        let (from, datagram) =
            eventually(|| two.receive(&mut buffer).map(|(from, datagram)| (from, datagram.to_vec())));
        assert_eq!((from, datagram), (addresses[0], padded.to_vec()));
        assert_eq!(one.next_refusal(&mut buffer), None);

        drop(two);
        one.send(addresses[1], b"probe", None).unwrap();
        assert_eq!(eventually(|| next_quote(&one)), (addresses[1], b"probe".to_vec()));
        assert_eq!(one.receive(&mut buffer), None);
    }

    #[test]
    fn an_icmp_error_keeps_no_datagram_from_being_sent() {
        let addresses = [Ipv4Addr::new(127, 17, 8, 1), Ipv4Addr::new(127, 17, 8, 2), Ipv4Addr::new(127, 17, 8, 3)];
        let [one, two, nowhere] = addresses.map(IpAddr::V4);
        let [one, two] = [one, two].map(|address| ProbeSocket::bind(address).unwrap());
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        for round in 0..100_u8 {
            one.send(nowhere, b"probe", None).unwrap();
            one.send(two.address(), &[round], None).unwrap();
            let received = eventually(|| two.receive(&mut buffer).map(|(_, datagram)| datagram.to_vec()));
            assert_eq!(received, [round]);
        }
    }

    #[test]
    fn a_closed_port_is_reported_over_ipv6() {
        let loopback = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]);
        let socket = UdpSocket::bind((loopback, 0)).unwrap();
        set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE).unwrap();
        setsockopt(&socket, Ipv6RecvErr, &true).unwrap();
        let socket = ProbeSocket { socket, address: loopback };
        socket.send(loopback, b"probe", None).unwrap();
        assert_eq!(eventually(|| next_quote(&socket)), (loopback, b"probe".to_vec()));
    }
}
