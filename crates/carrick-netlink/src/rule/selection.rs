//! What a rule of any program selects, and where it leads.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable as _;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use super::{ListedRule, Mark};

/// A rule that may decide on all packets of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whether the rule is for exactly the packets that do not match (`not`).
    pub invert: bool,
    /// The source of the packets (`from`).
    pub source: Option<IpNet>,
    /// The destination of the packets (`to`).
    pub destination: Option<IpNet>,
    /// The device by which the packets come in (`iif`).
    pub input: Option<String>,
    /// Their firewall marks.
    pub mark: Option<Mark>,
    /// What happens to the packets.
    pub action: SelectionAction,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectionAction {
    /// The packets look into a table. Routes whose prefix is no longer than `suppressed` do not count.
    Table {
        /// The number of the table.
        table: u32,
        /// The longest prefix that does not count.
        suppressed: Option<u8>,
    },
    /// The packets are dropped.
    Drop,
}

impl ListedRule {
    /// What the rule selects. `None` if it ends no search, or selects by what packets of one connection may differ in or Carrick's never have:
    /// ports, protocols, users, outgoing devices, devices that are enslaved to a VRF.
    #[must_use]
    pub fn selection(&self) -> Option<Selection> {
        let message = RuleMessage::parse(&self.message).ok()?;
        let header = &message.header;
        let mut selection = Selection {
            invert: header.flags.contains(RuleFlags::Invert),
            source: None,
            destination: None,
            input: None,
            mark: None,
            action: match header.action {
                RuleAction::ToTable => SelectionAction::Table { table: self.table, suppressed: None },
                RuleAction::Blackhole | RuleAction::Unreachable | RuleAction::Prohibit => SelectionAction::Drop,
                _ => return None,
            },
        };
        let mut mark = Mark { value: 0, mask: 0 };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(address) => selection.source = Some(network(*address, header.src_len)?),
                RuleAttribute::Destination(address) => selection.destination = Some(network(*address, header.dst_len)?),
                RuleAttribute::Iifname(device) => selection.input = Some(device.clone()),
                RuleAttribute::FwMark(value) => mark.value = *value,
                RuleAttribute::FwMask(mask) => mark.mask = *mask,
                RuleAttribute::SuppressPrefixLen(length) => {
                    if let SelectionAction::Table { suppressed, .. } = &mut selection.action {
                        *suppressed = super::suppressed(*length);
                    }
                }
                RuleAttribute::Oifname(_)
                | RuleAttribute::L3MDev(true)
                | RuleAttribute::UidRange(_)
                | RuleAttribute::IpProtocol(_)
                | RuleAttribute::SourcePortRange(_)
                | RuleAttribute::DestinationPortRange(_)
                | RuleAttribute::TunId(_) => return None,
                _ => {}
            }
        }
        selection.mark = (mark.mask != 0).then_some(mark);
        (header.tos == 0).then_some(selection)
    }
}

fn network(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok()
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.invert {
            f.write_str("not ")?;
        }
        match self.source {
            Some(source) => write!(f, "from {source}")?,
            None => f.write_str("from all")?,
        }
        if let Some(destination) = self.destination {
            write!(f, " to {destination}")?;
        }
        if let Some(Mark { value, mask }) = self.mark {
            write!(f, " fwmark {value:#x}/{mask:#x}")?;
        }
        if let Some(device) = &self.input {
            write!(f, " iif {device}")?;
        }
        match self.action {
            SelectionAction::Table { table, suppressed } => {
                write!(f, " lookup {table}")?;
                suppressed.map_or(Ok(()), |length| write!(f, " suppress_prefixlength {length}"))
            }
            SelectionAction::Drop => f.write_str(" drop"),
        }
    }
}
