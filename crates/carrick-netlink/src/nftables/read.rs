//! Objects as the kernel tells them.

use std::collections::BTreeMap;

use super::abi::expression::counter;
use super::abi::{chain, data, rule, set};
use super::attribute::{Received, required};
use super::batch::greatest;
use super::counter::RuleCounter;
use super::expression::plain_value;
use super::interval::{Bound, Intervals};
use super::listed_rule::ListedRule;
use super::set::{Elements, Field, Key, Set, Target, Value};
use super::table::{BaseChain, ChainKind, Hook, Policy};
use super::{Rule, Verdict};
use crate::Error;
use crate::frame::NETFILTER_HEADER_LENGTH;

pub(super) const LIST_CHAINS: &str = "list nftables chains";
pub(super) const LIST_RULES: &str = "list nftables rules";
pub(super) const LIST_SETS: &str = "list nftables sets";
pub(super) const LIST_ELEMENTS: &str = "list elements of nftables set";

/// The table and the name of a chain, and where packets enter it.
pub(crate) fn read_chain(payload: &[u8]) -> Result<(String, String, Option<BaseChain>), Error> {
    let attributes = attributes(payload);
    let table = required(attributes.text(chain::TABLE), LIST_CHAINS)?;
    let name = required(attributes.text(chain::NAME), LIST_CHAINS)?;
    Ok((table, name, base_chain(attributes)))
}

/// A rule, and the name of its chain.
pub(crate) fn read_rule(payload: &[u8]) -> Result<(String, ListedRule), Error> {
    let attributes = attributes(payload);
    let chain = required(attributes.text(rule::CHAIN), LIST_RULES)?;
    let handle = required(attributes.u64(rule::HANDLE), LIST_RULES)?;
    Ok((chain, ListedRule { handle, rule: Rule::decode(attributes) }))
}

/// What the counter of a rule says; `None` for a rule without a counter.
pub(crate) fn read_counter(payload: &[u8]) -> Result<Option<RuleCounter>, Error> {
    let attributes = attributes(payload);
    let list = attributes.nested(rule::EXPRESSIONS);
    let mut expressions = list.into_iter().flat_map(|list| list.all(data::LIST_ELEMENT)).map(Received::new);
    let is_counter = |expression: &Received<'_>| expression.text(data::EXPRESSION_NAME).as_deref() == Some("counter");
    let Some(counter) = expressions.find(is_counter) else { return Ok(None) };
    let packets = counter.nested(data::EXPRESSION_DATA).and_then(|counter| counter.u64(counter::PACKETS));
    Ok(Some(RuleCounter {
        chain: required(attributes.text(rule::CHAIN), LIST_RULES)?,
        comment: Rule::decode(attributes).comment,
        packets: required(packets, LIST_RULES)?,
    }))
}

/// The name of a set, and its form without elements.
pub(crate) fn read_set(payload: &[u8]) -> Result<(String, Set), Error> {
    let attributes = attributes(payload);
    let name = required(attributes.text(set::NAME), LIST_SETS)?;
    let set = required(empty_set(attributes), LIST_SETS)?;
    Ok((name, set))
}

/// The elements that one message holds.
pub(crate) fn read_elements(payload: &[u8]) -> Result<Vec<ListedElement>, Error> {
    let list = attributes(payload).nested(set::LIST_ELEMENTS);
    let elements = list.into_iter().flat_map(|list| list.all(data::LIST_ELEMENT));
    elements.map(|element| required(ListedElement::decode(Received::new(element)), LIST_ELEMENTS)).collect()
}

/// The elements of a set of this form.
pub(crate) fn elements_of(form: &Set, listed: impl IntoIterator<Item = ListedElement>) -> Elements {
    let listed = listed.into_iter();
    match &form.elements {
        Elements::Keys(_) => Elements::Keys(listed.map(ListedElement::into_key).collect()),
        Elements::Intervals(_) => {
            let length = Field::concatenated_length(&form.key);
            let bounds = listed.map(ListedElement::into_bound);
            Elements::Intervals(Intervals::from_bounds(bounds, greatest(length)))
        }
    }
}

/// One element as the kernel tells it.
pub(crate) struct ListedElement {
    key: Vec<u8>,
    value: Value,
    bound: Bound,
}

impl ListedElement {
    fn decode(element: Received<'_>) -> Option<Self> {
        let is_end = element.u32(set::ELEMENT_FLAGS).unwrap_or(0) & set::ELEMENT_INTERVAL_END != 0;
        Some(Self {
            key: plain_value(element.nested(set::ELEMENT_KEY)?)?,
            value: mapped(element),
            bound: if is_end { Bound::End } else { Bound::Begin },
        })
    }

    fn into_key(self) -> (Key, Value) {
        (Key::from_bytes(&self.key), self.value)
    }

    fn into_bound(self) -> (u128, Bound) {
        let number = self.key.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte));
        (number, self.bound)
    }
}

/// The attributes behind `struct nfgenmsg`.
pub(crate) fn attributes(payload: &[u8]) -> Received<'_> {
    Received::new(payload.get(NETFILTER_HEADER_LENGTH..).unwrap_or_default())
}

fn base_chain(attributes: Received<'_>) -> Option<BaseChain> {
    let hook = attributes.nested(chain::HOOK)?;
    Some(BaseChain {
        kind: ChainKind::from_name(&attributes.text(chain::TYPE)?)?,
        hook: Hook::from_number(hook.u32(chain::HOOK_NUMBER)?)?,
        priority: hook.u32(chain::HOOK_PRIORITY)?.cast_signed(),
        policy: Policy::from_number(attributes.u32(chain::POLICY)?)?,
    })
}

fn empty_set(attributes: Received<'_>) -> Option<Set> {
    let flags = attributes.u32(set::FLAGS).unwrap_or(0);
    let length = |kind| attributes.u32(kind).and_then(|length| usize::try_from(length).ok());
    let target = if flags & set::FLAG_MAP == 0 {
        Target::Nothing
    } else {
        match attributes.u32(set::DATA_TYPE)? {
            set::VERDICT_TYPE => Target::Verdict,
            number => Target::Fields(Field::from_type(number, length(set::DATA_LENGTH)?)),
        }
    };
    let elements = if flags & set::FLAG_INTERVAL == 0 {
        Elements::Keys(BTreeMap::new())
    } else {
        Elements::Intervals(Intervals::default())
    };
    Some(Set { key: Field::from_type(attributes.u32(set::KEY_TYPE)?, length(set::KEY_LENGTH)?), target, elements })
}

fn mapped(element: Received<'_>) -> Value {
    let Some(constant) = element.nested(set::ELEMENT_DATA) else {
        return Value::Nothing;
    };
    match (Verdict::decode(constant), plain_value(constant)) {
        (Some(verdict), _) => Value::Verdict(verdict),
        (None, Some(bytes)) => Value::Fields(Key::from_bytes(&bytes)),
        (None, None) => Value::Nothing,
    }
}
