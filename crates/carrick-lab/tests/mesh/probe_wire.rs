//! A host in the network of a location: it reads the probes that pass, and sends packets in the name of nodes.

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use carrick_lab::namespace::Namespaces;
use carrick_topology::constants::PROBE_PORT;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, socket};

use crate::frames::{Mac, udp_with};
use crate::spoofing::link_address;

/// Where a packet of the probe port has its parts (`carrick-probe/src/packet.rs`).
const KIND: usize = 5;
const TOKEN: std::ops::Range<usize> = 8..16;
const SEQUENCE: std::ops::Range<usize> = 16..24;
const BYTES: usize = 52;
/// Bytes before the IP packet.
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Probe,
    Answer,
}

/// The identity of a probe, which its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId {
    pub token: [u8; 8],
    pub sequence: [u8; 8],
}

/// A packet of the probe port.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub payload: Vec<u8>,
}

impl Packet {
    /// The packet in a frame; `None` if it is another one.
    fn in_frame(frame: &[u8]) -> Option<Self> {
        let (ethernet, ip) = frame.split_at_checked(ETHERNET)?;
        let (source, destination, udp) = match *ethernet.last_chunk()? {
            IPV4 => {
                let [source, destination] = [12, 16].map(|at| Some(IpAddr::from(*ip.get(at..)?.first_chunk::<4>()?)));
                (source?, destination?, ip.get(20..)?)
            }
            IPV6 => {
                let [source, destination] = [8, 24].map(|at| Some(IpAddr::from(*ip.get(at..)?.first_chunk::<16>()?)));
                (source?, destination?, ip.get(40..)?)
            }
            _ => return None,
        };
        let port = PROBE_PORT.to_be_bytes();
        let payload = udp.get(8..).filter(|payload| payload.len() >= BYTES && payload.starts_with(b"CRKP"))?;
        (udp.get(..4)? == [port, port].concat()).then(|| Self { source, destination, payload: payload.to_vec() })
    }

    pub fn kind(&self) -> Kind {
        if self.payload[KIND] == 1 { Kind::Probe } else { Kind::Answer }
    }

    pub fn id(&self) -> ProbeId {
        let part = |range: std::ops::Range<usize>| self.payload[range].try_into().unwrap();
        ProbeId { token: part(TOKEN), sequence: part(SEQUENCE) }
    }
}

/// A packet of version 2 with a wrong MAC. The byte `heard` says which peers the sender of an answer hears.
pub fn forged(kind: Kind, heard: u8, id: ProbeId) -> Vec<u8> {
    let kind = match kind {
        Kind::Probe => 1,
        Kind::Answer => 2,
    };
    let mut payload = [&b"CRKP"[..], &[2, kind, heard, 6], &id.token, &id.sequence].concat();
    payload.extend(60_000_u32.to_be_bytes());
    payload.extend(7_u64.to_be_bytes());
    payload.resize(BYTES, 0x5a);
    payload
}

/// A socket for frames on one interface.
pub struct Wire {
    socket: OwnedFd,
    sends_to: LinkAddr,
    own: Mac,
    reads_from: usize,
}

impl Wire {
    /// Reads what passes one interface of a namespace, and sends out of another one.
    pub fn open(inside: &Namespaces, reads_from: &str, sends_to: &str) -> Self {
        let open = || {
            let kind = SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, kind, SockProtocol::EthAll)?;
            let (sends_to, reads_from) = (link_address(sends_to)?, link_address(reads_from)?.ifindex());
            let own = sends_to.addr().ok_or(Errno::ENODEV)?;
            Ok(Self { socket, sends_to, own, reads_from })
        };
        inside.enter(open).unwrap()
    }

    /// Sends a packet to the node with this MAC address.
    pub fn send(&self, to: Mac, packet: &Packet) {
        let Packet { source, destination, payload } = packet;
        let frame = udp_with(payload, self.own, to, *source, *destination, PROBE_PORT);
        match sendto(self.socket.as_raw_fd(), &frame, &self.sends_to, MsgFlags::empty()) {
            // A full queue of a device drops one packet of many.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EAGAIN) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The next packet of the probe port that passes within this time.
    pub fn next(&self, patience: Duration) -> Option<Packet> {
        let until = Instant::now() + patience;
        let mut buffer = [0; 2048];
        while Instant::now() < until {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, Some(from))) if from.ifindex() == self.reads_from => {
                    if let Some(packet) = Packet::in_frame(&buffer[..length]) {
                        return Some(packet);
                    }
                }
                Ok(_) => {}
                Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_micros(500)),
                Err(error) => panic!("{error}"),
            }
        }
        None
    }
}
