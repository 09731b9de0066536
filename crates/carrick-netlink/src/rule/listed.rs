//! Rules with all that the kernel tells of them.

use std::fmt;

use netlink_packet_core::{DecodeError, DefaultNla, Nla as _, Parseable as _};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::{InputDevice, NO_SUPPRESSION, RTM_DELRULE, RTM_GETRULE, Rule, read as read_rule, to_message};
use crate::error::none_without_family;
use crate::family::KernelFamily as _;
use crate::frame::Frame;
use crate::request::encode;
use crate::{Error, Request, Socket};
use carrick_types::Family;

/// The bits of the destination port that count.
const FRA_DPORT_MASK: u16 = 29;

/// A rule as the kernel told it: conditions and actions included that [`Rule`] does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedRule {
    /// The family of the packets.
    pub family: Family,
    /// Lower is asked first.
    pub priority: u32,
    /// The routing table; 0 for a rule that leads to none.
    pub table: u32,
    /// The program that added the rule, by its number (`RTPROT_*`).
    pub protocol: u8,
    /// The rule, if [`Rule`] holds all of it.
    pub rule: Option<Rule>,
    pub(super) message: Vec<u8>,
}

/// Lists the rules of one family, whatever they select and do. A kernel without the family has none.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn list(socket: &mut Socket, family: Family) -> Result<Vec<ListedRule>, Error> {
    let mut message = RuleMessage::default();
    message.header.family = family.to_kernel();
    let request = Request::dump("list", format!("{family} rules"), RTM_GETRULE, encode(&message));
    none_without_family(socket.query(&request, |frame| read(frame).map_err(|cause| Error::new("list", "rules", cause))))
}

impl ListedRule {
    /// Removes this rule: the kernel gets back what it told, as from `ip rule flush`.
    #[must_use]
    pub fn delete(&self) -> Request {
        Request::write("delete rule", self.to_string(), RTM_DELRULE, 0, self.message.clone())
    }
}

impl From<Rule> for ListedRule {
    /// The rule as the kernel would tell it.
    fn from(rule: Rule) -> Self {
        let Rule { family, priority, table, protocol, .. } = rule;
        Self { family, priority, table, protocol, rule: Some(rule), message: encode(&to_message(&rule)) }
    }
}

impl fmt::Display for ListedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {} to table {}", self.family, self.priority, self.table)
    }
}

pub(crate) fn read(frame: &Frame<'_>) -> Result<Option<ListedRule>, DecodeError> {
    let message = RuleMessage::parse(frame.payload)?;
    let Some(family) = Family::from_kernel(message.header.family) else { return Ok(None) };
    let mut listed = ListedRule {
        family,
        priority: 0,
        table: message.header.table.into(),
        protocol: 0,
        rule: if is_whole(&message) { read_rule(frame)? } else { None },
        message: frame.payload.to_vec(),
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => listed.priority = *priority,
            RuleAttribute::Table(table) => listed.table = *table,
            RuleAttribute::Protocol(protocol) => listed.protocol = (*protocol).into(),
            _ => {}
        }
    }
    if message.header.action != RuleAction::ToTable {
        listed.table = 0;
    }
    Ok(Some(listed))
}

/// Whether [`Rule`] holds all conditions of a rule.
fn is_whole(message: &RuleMessage) -> bool {
    let header = &message.header;
    let has_udp = message.attributes.iter().any(|attribute| {
        matches!(attribute, RuleAttribute::IpProtocol(protocol) if i32::from(*protocol) == nix::libc::IPPROTO_UDP)
    });
    let has_port =
        message.attributes.iter().any(|attribute| matches!(attribute, RuleAttribute::DestinationPortRange(_)));
    let is_known = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::Priority(_)
        | RuleAttribute::Table(_)
        | RuleAttribute::Protocol(_)
        | RuleAttribute::FwMark(_)
        | RuleAttribute::FwMask(_)
        | RuleAttribute::SuppressPrefixLen(_) => true,
        RuleAttribute::SuppressIfGroup(value) => *value == NO_SUPPRESSION,
        RuleAttribute::Destination(_) => header.dst_len != 0,
        RuleAttribute::L3MDev(of_device) => !of_device,
        RuleAttribute::Iifname(device) => InputDevice::new(device).is_some(),
        RuleAttribute::IpProtocol(_) => has_udp && has_port,
        RuleAttribute::DestinationPortRange(ports) => has_udp && ports.start == ports.end,
        // Kernels since 6.15 tell the mask of the ports too.
        RuleAttribute::Other(other) => has_port && other.kind() == FRA_DPORT_MASK && value_of(other) == [u8::MAX; 2],
        _ => false,
    };
    header.src_len == 0 && header.tos == 0 && message.attributes.iter().all(is_known)
}

fn value_of(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}
