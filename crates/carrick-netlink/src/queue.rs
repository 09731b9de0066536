//! Queues in front of network devices: the token bucket, which bounds how much leaves by a device (`man 8 tc-tbf`).

use netlink_packet_core::NLM_F_CREATE;

use crate::attribute::push;
use crate::nftables::attribute::Received;
use crate::{Error, Request, Socket};

pub(crate) const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
/// Length of `struct tcmsg`, in bytes.
const HEADER_LENGTH: usize = 20;
/// `TC_H_ROOT`.
const ROOT: u32 = 0xffff_ffff;
/// `1:`.
const HANDLE: u32 = 0x0001_0000;
/// `NLM_F_REPLACE`.
const REPLACE: u16 = 0x100;
/// `TC_LINKLAYER_ETHERNET`: the kernel computes times itself instead of taking a table.
const LINK_LAYER: u8 = 1;
const KIND_NAME: &[u8] = b"tbf\0";
/// Where the rate and the limit stand in `struct tc_tbf_qopt`, in bytes.
const RATE_POSITION: usize = 8;
const LIMIT_POSITION: usize = 24;

/// `TCA_*` and `TCA_TBF_*`.
mod attribute {
    pub const KIND: u16 = 1;
    pub const OPTIONS: u16 = 2;
    pub const PARAMETERS: u16 = 1;
    pub const RATE: u16 = 4;
    pub const BURST: u16 = 6;
}

/// How much may leave by a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that may leave at once after a pause; the device's largest packet at least, or that never leaves.
    pub burst: u32,
    /// Bytes that wait before packets are dropped.
    pub limit: u32,
}

/// Puts a token bucket before the device with the number `index`, in the place of any other root queue.
/// `name` is for error messages only.
#[must_use]
pub fn replace_root(index: u32, name: &str, bucket: &TokenBucket) -> Request {
    let mut options = Vec::new();
    push(&mut options, attribute::PARAMETERS, &parameters(bucket));
    push(&mut options, attribute::RATE, &bucket.rate.to_ne_bytes());
    push(&mut options, attribute::BURST, &bucket.burst.to_ne_bytes());
    let mut payload = header(index, HANDLE, ROOT);
    push(&mut payload, attribute::KIND, KIND_NAME);
    push(&mut payload, attribute::OPTIONS, &options);
    Request::write("limit rate of", name, RTM_NEWQDISC, NLM_F_CREATE | REPLACE, payload)
}

/// What the kernel tells of a token bucket. Of the burst it tells only how long that takes, rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that wait before packets are dropped.
    pub limit: u32,
}

/// The token bucket before the device with the number `index`, if its root queue is one. `name` is for error messages only.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn root_bound(socket: &mut Socket, index: u32, name: &str) -> Result<Option<Bound>, Error> {
    // Asked for one queue alone, the kernel answers with an error where it is a default one.
    let request = Request::dump("list queues of", name, RTM_GETQDISC, header(index, 0, 0));
    let bounds = socket.query(&request, |frame| Ok(read_root(frame.payload, index)))?;
    Ok(bounds.into_iter().next())
}

pub(crate) fn read_root(payload: &[u8], wanted: u32) -> Option<Bound> {
    let word = |at: usize| Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    let (index, parent) = (word(4)?, word(12)?);
    let attributes = Received::new(payload.get(HEADER_LENGTH..)?);
    if (index, parent, attributes.bytes(attribute::KIND)?) != (wanted, ROOT, KIND_NAME) {
        return None;
    }
    let options = attributes.nested(attribute::OPTIONS)?;
    let parameters = options.bytes(attribute::PARAMETERS)?;
    let number = |at: usize| Some(u32::from_ne_bytes(parameters.get(at..at + 4)?.try_into().ok()?));
    let large = options.bytes(attribute::RATE).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    Some(Bound { rate: large.or_else(|| number(RATE_POSITION).map(u64::from))?, limit: number(LIMIT_POSITION)? })
}

/// `struct tcmsg`.
fn header(index: u32, handle: u32, parent: u32) -> Vec<u8> {
    [0, index, handle, parent, 0].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
}

/// `struct tc_tbf_qopt`: rate, no peak rate, limit, then a burst and a packet size that [`attribute::BURST`] overrides.
fn parameters(bucket: &TokenBucket) -> Vec<u8> {
    let coarse_rate = u32::try_from(bucket.rate).unwrap_or(u32::MAX);
    let rate = [&[0, LINK_LAYER, 0, 0, 0, 0, 0, 0], &coarse_rate.to_ne_bytes()[..]].concat();
    let peak_rate = [0; 12];
    [&rate, &peak_rate[..], &bucket.limit.to_ne_bytes(), &[0; 8]].concat()
}
