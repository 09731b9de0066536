//! Captures of whole frames that contain a mark, however they are encapsulated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use super::Capture;
use crate::namespace::Namespaces;

/// The length of a mark.
pub const MARK_BYTES: usize = 16;
/// The header of a capture file, and of each packet in it (pcap-savefile(5)).
const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;
const ETHERNET_BYTES: usize = 14;
const UDP: u8 = 17;

/// A running capture of an Ethernet interface, in both directions.
#[derive(Debug)]
pub struct MarkedCapture {
    capture: Capture,
    file: NamedTempFile,
}

/// A frame that contains the mark.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkedFrame {
    /// The Ethernet address that it is sent from.
    pub from: [u8; 6],
    /// The Ethernet address that it is sent to.
    pub to: [u8; 6],
    /// Source and destination of the outermost IP packet.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The destination port, if it is UDP.
    pub udp_port: Option<u16>,
}

impl MarkedCapture {
    /// Starts to capture everything on an interface.
    ///
    /// # Errors
    /// The interface does not exist.
    pub fn start(inside: &Namespaces, interface: &str) -> Result<Self> {
        let file = NamedTempFile::new().context("a file for a capture")?;
        let path = file.path().to_string_lossy().into_owned();
        // By default, tcpdump gives up root before it opens the file.
        let capture = Capture::spawn(inside, interface, &["-Z", "root", "-U", "-w", &path], "")?;
        Ok(Self { capture, file })
    }

    /// Ends the capture and returns the frames that contain the mark, each kind once.
    ///
    /// # Errors
    /// The kernel dropped packets, or the file is damaged.
    pub fn stop(self, mark: &[u8; MARK_BYTES]) -> Result<Vec<MarkedFrame>> {
        self.capture.stop()?;
        let bytes = std::fs::read(self.file.path()).context("read a capture")?;
        let mut frames = frames(&bytes)?;
        frames.retain(|frame| frame.windows(MARK_BYTES).any(|window| window == mark));
        let mut marked: Vec<MarkedFrame> = frames.into_iter().filter_map(parse).collect();
        marked.sort();
        marked.dedup();
        Ok(marked)
    }
}

/// The frames of a capture file.
fn frames(file: &[u8]) -> Result<Vec<&[u8]>> {
    let mut rest = file.get(FILE_HEADER_BYTES..).context("a capture without a header")?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = rest.get(8..12).and_then(|bytes| bytes.try_into().ok()).context("half a packet header")?;
        let end = PACKET_HEADER_BYTES + usize::try_from(u32::from_ne_bytes(length))?;
        frames.push(rest.get(PACKET_HEADER_BYTES..end).context("half a packet")?);
        rest = &rest[end..];
    }
    Ok(frames)
}

fn parse(frame: &[u8]) -> Option<MarkedFrame> {
    let (to, from) = (frame.get(..6)?.try_into().ok()?, frame.get(6..12)?.try_into().ok()?);
    let packet = &frame[ETHERNET_BYTES..];
    let (addresses, udp) = match frame.get(12..14)? {
        [0x08, 0x00] => ipv4(packet),
        [0x86, 0xdd] => ipv6(packet),
        _ => (None, None),
    };
    let udp_port = udp.and_then(|header| Some(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?)));
    Some(MarkedFrame { from, to, addresses, udp_port })
}

type Outer<'a> = (Option<(IpAddr, IpAddr)>, Option<&'a [u8]>);

fn ipv4(packet: &[u8]) -> Outer<'_> {
    let address = |at: usize| {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let content = packet.first().and_then(|first| packet.get(usize::from(first & 0x0f) * 4..));
    (address(12).zip(address(16)), content.filter(|_| packet.get(9) == Some(&UDP)))
}

fn ipv6(packet: &[u8]) -> Outer<'_> {
    let address = |at: usize| {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    (address(8).zip(address(24)), packet.get(40..).filter(|_| packet.get(6) == Some(&UDP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_file_are_parsed() {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0x12, 0x34, 0xca, 0x6e, 0, 0, 0, 0]);
        let frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &packet].concat();
        let length = u32::try_from(frame.len()).unwrap().to_ne_bytes();
        let file = [&[0; FILE_HEADER_BYTES][..], &[0; 8], &length, &length, &frame].concat();
        let found = frames(&file).unwrap();
        assert_eq!(found, [&frame[..]]);
        let parsed = parse(found[0]).unwrap();
        let addresses = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        assert_eq!((parsed.addresses, parsed.udp_port), (Some(addresses.into()), Some(51_822)));
        assert_eq!(parsed.to, [2, 0, 0, 0, 0, 2]);
        assert!(frames(&file[..file.len() - 1]).is_err());
    }
}
