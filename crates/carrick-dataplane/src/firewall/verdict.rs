//! What a chain of another program does with a packet of a pod: the ruleset, run as the kernel would run it.
//!
//! Much of a packet is not known beforehand, such as its ports and most of its addresses. A condition on these is undecided, and so is an
//! instruction that this code does not know. The question is what happens to a packet that no undecided rule takes: if it is
//! dropped, the chain drops by default.

mod bytes;
mod packet;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use carrick_netlink::nftables::{
    Elements, Expression, Key, ListedChain, ListedRule, Membership, Operator, Policy, Register, Rule, Set, Value,
    Verdict,
};

use bytes::{Bytes, Truth};
pub(super) use packet::{Packet, Way, packets_of_pods};

/// The kernel refuses deeper jumps (`NFT_JUMP_STACK_SIZE`).
const DEEPEST_JUMP: usize = 16;

/// The chains and the sets of a table that a base chain leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reachable {
    /// Regular chains by name.
    pub chains: BTreeMap<String, Vec<ListedRule>>,
    /// Anonymous sets and maps by name.
    pub sets: BTreeMap<String, Set>,
}

/// What drops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dropper {
    /// The policy of the base chain.
    Policy,
    /// A rule of a chain, counted from 1.
    Rule { chain: String, number: usize },
}

/// A packet that is dropped by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultDrop {
    pub(super) dropper: Dropper,
    pub(super) certainty: Certainty,
}

/// Whether an undecided rule could let a packet pass that is dropped by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// No: the packet is dropped.
    Certain,
    /// Yes.
    Undecided,
}

/// What drops the packet in a base chain, or `None` if the packet passes. `rules` are those of the base chain.
pub(super) fn drop_in(
    chain: &ListedChain,
    rules: &[&ListedRule],
    reachable: &Reachable,
    packet: &Packet,
) -> Option<DefaultDrop> {
    let walk = Walk { reachable, packet, certainty: Cell::new(Certainty::Certain) };
    let dropper = match walk.chain(&chain.name, rules, 0) {
        Step::Pass => None,
        Step::Drop(dropper) => Some(dropper),
        Step::Continue => (chain.base.policy == Policy::Drop).then_some(Dropper::Policy),
    }?;
    Some(DefaultDrop { dropper, certainty: walk.certainty.get() })
}

/// The regular chains to which a rule leads, by its own verdict or by those of anonymous maps.
pub(super) fn targets<'a>(rule: &'a Rule, sets: &'a BTreeMap<String, Set>) -> Vec<&'a str> {
    let of_verdict = |verdict: &'a Verdict| match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain.as_str()),
        Verdict::Accept | Verdict::Drop | Verdict::Return => None,
    };
    let mut targets = Vec::new();
    for expression in &rule.expressions {
        match expression {
            Expression::Verdict(verdict) => targets.extend(of_verdict(verdict)),
            Expression::VerdictLookup { map, .. } => {
                if let Some(Elements::Keys(elements)) = sets.get(map).map(|set| &set.elements) {
                    targets.extend(elements.values().filter_map(|value| match value {
                        Value::Verdict(verdict) => of_verdict(verdict),
                        Value::Nothing | Value::Fields(_) => None,
                    }));
                }
            }
            _ => {}
        }
    }
    targets
}

/// The anonymous sets and maps that a rule uses.
pub(super) fn anonymous_sets(rule: &Rule) -> impl Iterator<Item = &str> {
    let sets = rule.expressions.iter().filter_map(|expression| match expression {
        Expression::Lookup { set: name, .. } | Expression::VerdictLookup { map: name, .. } => Some(name.as_str()),
        _ => None,
    });
    sets.filter(|name| name.starts_with("__"))
}

impl fmt::Display for Dropper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("its policy"),
            Self::Rule { chain, number } => write!(f, "rule {number} of the chain {chain}"),
        }
    }
}

/// What happens behind a rule or a chain.
enum Step {
    /// The packet passes the base chain.
    Pass,
    Drop(Dropper),
    /// The next rule is asked; at the end of a chain, the chain that jumped.
    Continue,
}

struct Walk<'a> {
    reachable: &'a Reachable,
    packet: &'a Packet,
    certainty: Cell<Certainty>,
}

impl Walk<'_> {
    fn chain(&self, name: &str, rules: &[&ListedRule], depth: usize) -> Step {
        if depth > DEEPEST_JUMP {
            return Step::Continue;
        }
        for (position, listed) in rules.iter().enumerate() {
            let Some(verdict) = self.verdict(&listed.rule) else { continue };
            match verdict {
                Verdict::Accept => return Step::Pass,
                Verdict::Drop => return Step::Drop(Dropper::Rule { chain: name.to_owned(), number: position + 1 }),
                Verdict::Return => return Step::Continue,
                Verdict::Goto(target) => return self.regular(&target, depth),
                Verdict::Jump(target) => match self.regular(&target, depth) {
                    Step::Continue => {}
                    step => return step,
                },
            }
        }
        Step::Continue
    }

    fn regular(&self, name: &str, depth: usize) -> Step {
        let rules: Vec<&ListedRule> = self.reachable.chains.get(name).into_iter().flatten().collect();
        self.chain(name, &rules, depth + 1)
    }

    /// The verdict that the rule certainly gives.
    fn verdict(&self, rule: &Rule) -> Option<Verdict> {
        let mut registers = Registers::default();
        let mut truth = Truth::True;
        for expression in &rule.expressions {
            let verdict = match expression {
                Expression::Verdict(verdict) => Some(verdict.clone()),
                Expression::Reject => Some(Verdict::Drop),
                Expression::VerdictLookup { map, source } => match self.mapped(map, registers.get(*source)) {
                    Mapped::Verdict(verdict) => Some(verdict),
                    Mapped::Nothing => return None,
                    Mapped::Undecided => {
                        self.certainty.set(Certainty::Undecided);
                        return None;
                    }
                },
                Expression::Foreign(name) if name == "target REJECT" => Some(Verdict::Drop),
                condition => {
                    truth = truth.and(self.condition(condition, &mut registers));
                    None
                }
            };
            match (truth, verdict) {
                (Truth::False, _) | (Truth::Undecided, Some(Verdict::Drop)) => return None,
                (Truth::Undecided, Some(_)) => {
                    self.certainty.set(Certainty::Undecided);
                    return None;
                }
                (Truth::True, Some(verdict)) => return Some(verdict),
                (Truth::True | Truth::Undecided, None) => {}
            }
        }
        None
    }

    /// Whether the rule goes on behind this instruction.
    fn condition(&self, expression: &Expression, registers: &mut Registers) -> Truth {
        match expression {
            Expression::Meta { key, destination } => registers.set(*destination, self.packet.meta(*key)),
            Expression::Payload { base, offset, length, destination } => {
                registers.set(*destination, self.packet.payload(*base, *offset, *length));
            }
            Expression::Conntrack { key, destination } => registers.set(*destination, self.packet.conntrack(*key)),
            Expression::Bitwise { source, destination, mask, xor } => {
                let value = registers.get(*source).bitwise(mask, xor);
                registers.set(*destination, value);
            }
            Expression::Immediate { value, destination } => registers.set(*destination, Bytes::known(value)),
            Expression::Compare { source, operator, value } => {
                let register = registers.get(*source);
                return match operator {
                    Operator::Equal => register.equals(value),
                    Operator::NotEqual => register.equals(value).not(),
                    Operator::Less => register.is_less(value),
                    Operator::GreaterOrEqual => register.is_less(value).not(),
                    Operator::Greater => register.is_greater(value),
                    Operator::LessOrEqual => register.is_greater(value).not(),
                };
            }
            Expression::Lookup { set, source, membership } => {
                let is_in =
                    self.reachable.sets.get(set).map_or(Truth::Undecided, |set| contains(set, &registers.get(*source)));
                return match membership {
                    Membership::In => is_in,
                    Membership::NotIn => is_in.not(),
                };
            }
            Expression::HostToNetwork16 { destination, .. }
            | Expression::AddressType { destination, .. }
            | Expression::ReversePath { destination }
            | Expression::RouteSegmentSize { destination } => registers.set(*destination, Bytes::unknown()),
            // Without the option or the key, these end the rule.
            Expression::MapLookup { destination, .. } | Expression::SegmentSize { destination } => {
                registers.set(*destination, Bytes::unknown());
                return Truth::Undecided;
            }
            Expression::Foreign(name) => return foreign(name, registers),
            Expression::SetMeta { .. }
            | Expression::Counter
            | Expression::NoTrack
            | Expression::Masquerade
            | Expression::Nat { .. }
            | Expression::LowerSegmentSize { .. }
            | Expression::Verdict(_)
            | Expression::VerdictLookup { .. }
            | Expression::Reject => {}
        }
        Truth::True
    }

    fn mapped(&self, map: &str, key: Bytes) -> Mapped {
        let Some(Elements::Keys(elements)) = self.reachable.sets.get(map).map(|set| &set.elements) else {
            return Mapped::Undecided;
        };
        let mut found = Mapped::Nothing;
        for (element, value) in elements {
            match (key.is_key(element.as_bytes()), value) {
                (Truth::True, Value::Verdict(verdict)) => return Mapped::Verdict(verdict.clone()),
                (Truth::Undecided, _) => found = Mapped::Undecided,
                (Truth::True | Truth::False, _) => {}
            }
        }
        found
    }
}

enum Mapped {
    Verdict(Verdict),
    Nothing,
    Undecided,
}

/// Instructions outside the vocabulary: those that only write or load let the rule go on.
fn foreign(name: &str, registers: &mut Registers) -> Truth {
    match name {
        "log" | "last" | "objref" | "flow_offload" | "match comment" | "target LOG" | "target NFLOG"
        | "target MARK" | "target CONNMARK" | "target TRACE" | "target TCPMSS" => Truth::True,
        "meta" | "ct" | "payload" | "fib" | "exthdr" | "rt" | "socket" | "osf" | "numgen" | "hash" | "tunnel"
        | "xfrm" | "bitwise" | "byteorder" | "immediate" | "inner" => {
            *registers = Registers::default();
            Truth::True
        }
        _ => Truth::Undecided,
    }
}

fn contains(set: &Set, value: &Bytes) -> Truth {
    match &set.elements {
        Elements::Keys(keys) => {
            keys.keys().map(Key::as_bytes).map(|key| value.is_key(key)).fold(Truth::False, Truth::or)
        }
        // Of a concatenation, only the first field is known here.
        Elements::Intervals(_) if set.key.len() != 1 => Truth::Undecided,
        Elements::Intervals(intervals) => {
            let Some((least, greatest)) = value.range() else { return Truth::Undecided };
            let mut truth = Truth::False;
            for (first, last) in intervals.iter() {
                if first <= least && greatest <= last {
                    return Truth::True;
                }
                if first <= greatest && least <= last {
                    truth = Truth::Undecided;
                }
            }
            truth
        }
    }
}

/// The registers of a rule, by their first 32-bit word.
#[derive(Debug, Default)]
struct Registers(Vec<(Register, Bytes)>);

impl Registers {
    fn get(&self, register: Register) -> Bytes {
        let found = self.0.iter().rev().find(|(written, _)| *written == register);
        found.map_or_else(Bytes::unknown, |(_, value)| value.clone())
    }

    fn set(&mut self, register: Register, value: Bytes) {
        self.0.push((register, value));
    }
}
