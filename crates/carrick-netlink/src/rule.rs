//! Policy rules: which packets look into which routing table.

mod listed;
mod selection;

use std::fmt;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::IpProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RulePortRange};

use crate::Request;
use crate::family::KernelFamily as _;
use crate::frame::Frame;
use crate::request::encode;
use carrick_types::Family;

pub(crate) use listed::read as read_listed;
pub use listed::{ListedRule, list};
pub use selection::{Selection, SelectionAction};

pub(crate) const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
/// What the kernel tells of a rule that suppresses nothing.
const NO_SUPPRESSION: u32 = u32::MAX;
/// The kernel takes what the host itself sends to come in by this device.
const LOOPBACK: &str = "lo";

/// A rule that leads packets into a routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The family of the packets.
    pub family: Family,
    /// Lower is asked first.
    pub priority: u32,
    /// The routing table.
    pub table: u32,
    /// The program that added the rule, by its number (`RTPROT_*`).
    pub protocol: u8,
    /// Whose packets it is for.
    pub origin: PacketOrigin,
    /// The destinations that it is for; `None` for all packets.
    pub destination: Option<IpNet>,
    /// Routes of the table with prefixes of this length or shorter do not count (`suppress_prefixlength`); `None`: all count.
    pub suppressed: Option<u8>,
    /// The UDP destination port that it is for; `None` for all packets.
    pub udp_port: Option<u16>,
    /// Which firewall marks it is for; `None` for all packets.
    pub mark: Option<Mark>,
    /// Whether it is for exactly the packets that do not match (`not`).
    pub invert: bool,
}

impl Rule {
    /// A rule that leads all packets of a family into a table.
    #[must_use]
    pub const fn new(family: Family, priority: u32, table: u32, protocol: u8) -> Self {
        Self {
            family,
            priority,
            table,
            protocol,
            origin: PacketOrigin::Any,
            destination: None,
            suppressed: None,
            udp_port: None,
            mark: None,
            invert: false,
        }
    }
}

/// Whose packets a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketOrigin {
    /// Everybody's.
    Any,
    /// What the host itself sends (`iif lo`). With [`Rule::invert`]: what it forwards.
    Host,
    /// What comes in by this device (`iif`).
    Device(InputDevice),
}

/// The name of a device by which packets come in: 1 to 15 bytes (`IFNAMSIZ`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputDevice {
    /// Padded with zeros.
    bytes: [u8; Self::MOST],
}

impl InputDevice {
    const MOST: usize = 15;

    /// The device of this name; `None` if the kernel has no such names.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::MOST];
        let fits = !name.is_empty() && name.len() <= Self::MOST && !name.contains('\0');
        fits.then(|| {
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            Self { bytes }
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> String {
        let bytes = self.bytes.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<_>>();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl fmt::Debug for InputDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name())
    }
}

/// Packets with these bits in their firewall mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The bits.
    pub value: u32,
    /// The bits that count.
    pub mask: u32,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {} to table {}", self.family, self.priority, self.table)
    }
}

/// Adds a rule; an equal one is an error ([`Error::is_exists`]).
#[must_use]
pub fn add(rule: &Rule) -> Request {
    write("add rule", rule, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes a rule; all fields must match.
#[must_use]
pub fn delete(rule: &Rule) -> Request {
    write("delete rule", rule, RTM_DELRULE, 0)
}

fn write(operation: &'static str, rule: &Rule, message_type: u16, flags: u16) -> Request {
    Request::write(operation, rule.to_string(), message_type, flags, encode(&to_message(rule)))
}

fn to_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = rule.family.to_kernel();
    message.header.table = u8::try_from(rule.table).unwrap_or_default();
    message.header.action = RuleAction::ToTable;
    message.header.flags.set(RuleFlags::Invert, rule.invert);
    message.attributes.push(RuleAttribute::Table(rule.table));
    message.attributes.push(RuleAttribute::Priority(rule.priority));
    message.attributes.push(RuleAttribute::Protocol(rule.protocol.into()));
    match rule.origin {
        PacketOrigin::Any => {}
        PacketOrigin::Host => message.attributes.push(RuleAttribute::Iifname(LOOPBACK.to_owned())),
        PacketOrigin::Device(device) => message.attributes.push(RuleAttribute::Iifname(device.name())),
    }
    if let Some(destination) = rule.destination {
        message.header.dst_len = destination.prefix_len();
        message.attributes.push(RuleAttribute::Destination(destination.network()));
    }
    if let Some(suppressed) = rule.suppressed {
        message.attributes.push(RuleAttribute::SuppressPrefixLen(suppressed.into()));
    }
    if let Some(port) = rule.udp_port {
        message.attributes.push(RuleAttribute::IpProtocol(IpProtocol::Udp));
        message.attributes.push(RuleAttribute::DestinationPortRange(RulePortRange { start: port, end: port }));
    }
    if let Some(mark) = rule.mark {
        message.attributes.push(RuleAttribute::FwMark(mark.value));
        message.attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    message
}

/// The longest prefix that does not count, as the kernel tells it. No prefix is longer than [`u8::MAX`].
fn suppressed(length: u32) -> Option<u8> {
    (length != NO_SUPPRESSION).then(|| u8::try_from(length).unwrap_or(u8::MAX))
}

pub(crate) fn read(frame: &Frame<'_>) -> Result<Option<Rule>, netlink_packet_core::DecodeError> {
    let header = RuleHeader::parse(frame.payload)?;
    let Some(family) = Family::from_kernel(header.family) else { return Ok(None) };
    if header.action != RuleAction::ToTable {
        return Ok(None);
    }
    let mut rule = Rule::new(family, 0, header.table.into(), 0);
    rule.invert = header.flags.contains(RuleFlags::Invert);
    let mut mark = Mark { value: 0, mask: 0 };
    for attribute in RuleMessage::parse(frame.payload)?.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = priority,
            RuleAttribute::Table(table) => rule.table = table,
            RuleAttribute::Protocol(protocol) => rule.protocol = protocol.into(),
            RuleAttribute::Destination(address) => rule.destination = IpNet::new(address, header.dst_len).ok(),
            RuleAttribute::SuppressPrefixLen(length) => rule.suppressed = suppressed(length),
            RuleAttribute::Iifname(device) if device == LOOPBACK => rule.origin = PacketOrigin::Host,
            RuleAttribute::Iifname(device) => {
                rule.origin = InputDevice::new(&device).map_or(PacketOrigin::Any, PacketOrigin::Device);
            }
            RuleAttribute::DestinationPortRange(ports) if ports.start == ports.end => rule.udp_port = Some(ports.start),
            RuleAttribute::FwMark(value) => mark.value = value,
            RuleAttribute::FwMask(mask) => mark.mask = mask,
            _ => {}
        }
    }
    rule.mark = (mark.mask != 0).then_some(mark);
    Ok(Some(rule))
}
