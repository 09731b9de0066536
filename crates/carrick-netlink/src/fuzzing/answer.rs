//! The properties of each datagram, of every kind of message.

use std::net::IpAddr;

use crate::frame::{Acknowledgement, Frame};
use crate::monitor::{self, Event};
use crate::socket::Answer;
use crate::{Cause, Error, Request};

/// Length of the netlink header, in bytes.
const HEADER_LENGTH: usize = 16;

/// The messages of a datagram, once the framing is checked.
pub(super) fn frames(datagram: &[u8]) -> Vec<Frame<'_>> {
    let frames: Vec<Frame<'_>> = Frame::split(datagram).collect();
    let mut rest = datagram;
    for frame in &frames {
        check_frame(frame, rest);
        rest = rest.get((HEADER_LENGTH + frame.payload.len()).next_multiple_of(4)..).unwrap_or_default();
        check_acknowledgement(frame);
        check_notification(frame);
    }
    if let Some(first) = frames.first() {
        check_answer(datagram, first.sequence, &frames);
    }
    frames
}

/// A request's message as one that is received.
pub(super) fn received(request: &Request) -> Frame<'_> {
    Frame { message_type: request.message_type, flags: request.flags, sequence: 1, port: 0, payload: &request.payload }
}

/// The address was in the message. An unspecified one also stands for an absent attribute.
pub(super) fn check_holds(payload: &[u8], address: IpAddr) {
    let held = match address {
        IpAddr::V4(address) => holds(payload, &address.octets()),
        IpAddr::V6(address) => holds(payload, &address.octets()),
    };
    assert!(held || address.is_unspecified(), "{address} was not in the message");
}

/// The bytes were in the message.
pub(super) fn holds(payload: &[u8], bytes: &[u8]) -> bool {
    bytes.is_empty() || payload.windows(bytes.len()).any(|window| window == bytes)
}

/// A message stands at the begin of what is left of the datagram.
fn check_frame(frame: &Frame<'_>, rest: &[u8]) {
    let length = HEADER_LENGTH + frame.payload.len();
    let header = [
        &u32::try_from(length).unwrap().to_ne_bytes()[..],
        &frame.message_type.to_ne_bytes(),
        &frame.flags.to_ne_bytes(),
        &frame.sequence.to_ne_bytes(),
        &frame.port.to_ne_bytes(),
    ];
    assert_eq!(rest[..HEADER_LENGTH], header.concat());
    assert_eq!(rest[HEADER_LENGTH..length], *frame.payload);
}

fn check_acknowledgement(frame: &Frame<'_>) {
    let Some(Acknowledgement::Refused { errno, message }) = frame.acknowledgement() else { return };
    let code = frame.payload.first_chunk().copied().map(i32::from_ne_bytes);
    assert!(code.is_some_and(|code| code < 0), "a refusal without an error number");
    if let Some(message) = &message {
        let is_held = holds(frame.payload, message.as_bytes());
        assert!(is_held || message.contains('\u{fffd}'), "the kernel did not say {message:?}");
    }
    let error = Error::new("read", "it", Cause::Refused { errno, message });
    assert!(error.to_string().starts_with("read it: "), "{error}");
}

/// A notification that cannot be read counts as lost, and is never taken for another one.
fn check_notification(frame: &Frame<'_>) {
    use crate::{address, link, route, rule};
    let readable = match frame.message_type {
        route::RTM_NEWROUTE | route::RTM_DELROUTE => route::read(frame).is_ok(),
        rule::RTM_NEWRULE | rule::RTM_DELRULE => rule::read_listed(frame).is_ok(),
        address::RTM_NEWADDR | address::RTM_DELADDR => address::read(frame).is_ok(),
        link::RTM_NEWLINK | link::RTM_DELLINK => true,
        _ => return drop(monitor::read(frame)),
    };
    assert_eq!(monitor::read(frame) == Some(Event::Lost), !readable);
}

/// An answer yields as many values as messages of its own at most, and only when it is complete.
fn check_answer(datagram: &[u8], sequence: u32, frames: &[Frame<'_>]) {
    let request = Request::dump("list", "everything", 0, Vec::new());
    let mut answer = Answer::new(sequence);
    let taken = answer.take(&request, datagram, &mut |frame| Ok(Some(frame.message_type)));
    let own = || frames.iter().filter(|frame| frame.sequence == sequence);
    let is_complete = own().any(|frame| frame.acknowledgement().is_some());
    match taken {
        Ok(None) => assert!(!is_complete, "the answer was complete"),
        Ok(Some(values)) => assert!(is_complete && values.len() < own().count(), "{values:?}"),
        Err(error) => assert!(is_complete && matches!(error.cause, Cause::Refused { .. } | Cause::Interrupted)),
    }
}
