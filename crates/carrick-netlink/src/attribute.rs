//! The form of all netlink attributes: length and type in host byte order, then the value, padded to four bytes
//! (`struct nlattr`).

use std::net::IpAddr;

use netlink_packet_core::DecodeError;

/// The bytes before a value.
pub(crate) const HEADER_LENGTH: usize = 4;

/// Appends an attribute. A value beyond 65,531 bytes cannot be told in the header; the kernel then refuses the message.
pub(crate) fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEADER_LENGTH + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(HEADER_LENGTH), 0);
}

/// A value of exactly this length.
pub(crate) fn array<const N: usize>(value: &[u8]) -> Result<[u8; N], DecodeError> {
    value.try_into().map_err(|_| DecodeError::invalid_number(N, value.len()))
}

/// An address, whose family its length tells.
pub(crate) fn address(value: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Ok(octets.into());
    }
    let octets = <[u8; 16]>::try_from(value).map_err(|_| DecodeError::invalid_ip_address(value.len()))?;
    Ok(octets.into())
}
