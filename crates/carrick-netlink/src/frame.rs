//! Netlink framing: the header in front of every message and the kernel's acknowledgements
//! (`man 7 netlink`, `Documentation/userspace-api/netlink/intro.rst`).

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NlasIterator};
use nix::errno::Errno;

use crate::Request;

const HEADER_LENGTH: usize = 16;
/// Length of `struct nfgenmsg`, which stands in front of netfilter's messages, in bytes.
pub(crate) const NETFILTER_HEADER_LENGTH: usize = 4;
const ALIGNMENT: usize = 4;
/// `NLM_F_CAPPED`: the acknowledgement repeats the header of the request, not its payload.
const FLAG_CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the repeated request.
const FLAG_ACK_ATTRIBUTES: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the kernel's words about the failure.
const ATTRIBUTE_MESSAGE: u16 = 1;

/// One received message.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Which message this is, such as `RTM_NEWROUTE`.
    pub message_type: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that this answers; 0 in notifications.
    pub sequence: u32,
    /// The socket whose request caused this; 0 for what the kernel did by itself.
    pub port: u32,
    /// Everything behind the netlink header.
    pub payload: &'a [u8],
}

/// What an acknowledgement says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// The request was carried out, or the list is complete.
    Success,
    /// The request was refused.
    Refused { errno: Errno, message: Option<String> },
}

impl<'a> Frame<'a> {
    /// Splits a received datagram into its messages; a truncated rest is ignored.
    pub fn split(mut datagram: &'a [u8]) -> impl Iterator<Item = Frame<'a>> {
        std::iter::from_fn(move || {
            let length = u32::from_ne_bytes(field(datagram, 0)?) as usize;
            let payload = datagram.get(HEADER_LENGTH..length)?;
            let frame = Frame {
                message_type: u16::from_ne_bytes(field(datagram, 4)?),
                flags: u16::from_ne_bytes(field(datagram, 6)?),
                sequence: u32::from_ne_bytes(field(datagram, 8)?),
                port: u32::from_ne_bytes(field(datagram, 12)?),
                payload,
            };
            datagram = datagram.get(aligned(length)..).unwrap_or_default();
            Some(frame)
        })
    }

    /// The acknowledgement that this message is, if it is one (`NLMSG_ERROR`, `NLMSG_DONE`).
    pub(crate) fn acknowledgement(&self) -> Option<Acknowledgement> {
        let attributes_at = match self.message_type {
            NLMSG_DONE => 4,
            NLMSG_ERROR if self.flags & FLAG_CAPPED != 0 => 4 + HEADER_LENGTH,
            NLMSG_ERROR => 4 + aligned(u32::from_ne_bytes(field(self.payload, 4).unwrap_or_default()) as usize),
            _ => return None,
        };
        let code = field(self.payload, 0).map_or(0, i32::from_ne_bytes);
        if code >= 0 {
            return Some(Acknowledgement::Success);
        }
        let message = (self.flags & FLAG_ACK_ATTRIBUTES != 0)
            .then(|| self.payload.get(attributes_at..))
            .flatten()
            .and_then(message_attribute);
        Some(Acknowledgement::Refused { errno: Errno::from_raw(code.saturating_neg()), message })
    }
}

/// The bytes that one request takes in a datagram, padding included.
pub(crate) fn encoded_length(request: &Request) -> usize {
    aligned(HEADER_LENGTH + request.payload.len())
}

/// Appends one request to a datagram.
pub(crate) fn append(datagram: &mut Vec<u8>, request: &Request, sequence: u32) {
    let length = HEADER_LENGTH + request.payload.len();
    let end = datagram.len() + aligned(length);
    datagram.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    datagram.extend_from_slice(&request.message_type.to_ne_bytes());
    datagram.extend_from_slice(&request.flags.to_ne_bytes());
    datagram.extend_from_slice(&sequence.to_ne_bytes());
    // The port number: the kernel fills in the socket's own.
    datagram.extend_from_slice(&0u32.to_ne_bytes());
    datagram.extend_from_slice(&request.payload);
    datagram.resize(end, 0);
}

fn message_attribute(attributes: &[u8]) -> Option<String> {
    NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ATTRIBUTE_MESSAGE)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned())
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_it_appended() {
        let mut datagram = Vec::new();
        append(&mut datagram, &Request::write("add", "a", 24, 0x400, vec![1, 2, 3]), 7);
        append(&mut datagram, &Request::dump("list", "b", 26, vec![]), 8);

        let frames: Vec<Frame<'_>> = Frame::split(&datagram).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].message_type, frames[0].flags, frames[0].sequence), (24, 0x405, 7));
        assert_eq!(frames[0].payload, [1, 2, 3]);
        assert_eq!((frames[1].message_type, frames[1].flags, frames[1].sequence), (26, 0x301, 8));
    }

    #[test]
    fn cut_off_datagram_yields_the_whole_messages_only() {
        let mut datagram = Vec::new();
        append(&mut datagram, &Request::dump("list", "a", 26, vec![0; 8]), 1);
        append(&mut datagram, &Request::dump("list", "b", 26, vec![0; 8]), 2);
        datagram.truncate(30);
        assert_eq!(Frame::split(&datagram).count(), 1);
        assert_eq!(Frame::split(&[0; 16]).count(), 0, "a length below the header's ends the datagram");
    }

    #[test]
    fn reads_the_kernels_words() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; HEADER_LENGTH]);
        payload.extend_from_slice(&[9, 0, ATTRIBUTE_MESSAGE as u8, 0]);
        payload.extend_from_slice(b"busy\0");
        let frame = Frame {
            message_type: NLMSG_ERROR,
            flags: FLAG_CAPPED | FLAG_ACK_ATTRIBUTES,
            sequence: 1,
            port: 0,
            payload: &payload,
        };
        assert_eq!(
            frame.acknowledgement(),
            Some(Acknowledgement::Refused { errno: Errno::EEXIST, message: Some("busy".to_owned()) })
        );
    }
}
