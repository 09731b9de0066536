//! Routing policy rules.

use std::net::IpAddr;

use rtnetlink::IpVersion;
use rtnetlink::packet_route::rule::{RuleAttribute, RuleFlags, RuleMessage};

use crate::Reader;

/// A routing policy rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Whether it is of IPv6.
    pub is_ipv6: bool,
    /// Its priority.
    pub priority: u32,
    /// The table that it leads to.
    pub table: u32,
    /// Its protocol number (`FRA_PROTOCOL`).
    pub protocol: u8,
    /// The firewall mark and its mask.
    pub mark: Option<(u32, u32)>,
    /// Whether it matches what it does not select (`not`).
    pub invert: bool,
    /// The input device.
    pub input_device: Option<String>,
    /// The destinations.
    pub destination: Option<(IpAddr, u8)>,
    /// Routes with prefixes of this length or shorter do not count.
    pub suppressed: Option<u32>,
    /// The range of UDP or TCP destination ports.
    pub destination_ports: Option<(u16, u16)>,
}

impl Reader {
    /// All rules of both families, in the order of their priority.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = [(IpVersion::V4, false), (IpVersion::V6, true)]
            .into_iter()
            .flat_map(|(version, is_ipv6)| {
                let messages = self.dump(self.handle().rule().get(version).execute());
                messages.into_iter().map(move |message| rule(message, is_ipv6))
            })
            .collect();
        rules.sort_by_key(|rule| (rule.priority, rule.is_ipv6));
        rules
    }
}

fn rule(message: RuleMessage, is_ipv6: bool) -> Rule {
    let mut rule = Rule {
        is_ipv6,
        table: message.header.table.into(),
        invert: message.header.flags.contains(RuleFlags::Invert),
        ..Rule::default()
    };
    let (mut mark, mut mask) = (None, u32::MAX);
    for attribute in message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = priority,
            RuleAttribute::Table(table) => rule.table = table,
            RuleAttribute::Protocol(protocol) => rule.protocol = protocol.into(),
            RuleAttribute::FwMark(value) => mark = Some(value),
            RuleAttribute::FwMask(value) => mask = value,
            RuleAttribute::Destination(address) => rule.destination = Some((address, message.header.dst_len)),
            RuleAttribute::SuppressPrefixLen(length) => rule.suppressed = (length != u32::MAX).then_some(length),
            RuleAttribute::Iifname(name) => rule.input_device = Some(name),
            RuleAttribute::DestinationPortRange(range) => rule.destination_ports = Some((range.start, range.end)),
            _ => {}
        }
    }
    rule.mark = mark.map(|mark| (mark, mask));
    rule
}
