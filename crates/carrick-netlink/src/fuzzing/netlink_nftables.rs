//! Answers and notifications of netfilter: nftables' objects, and tracked connections.

use std::collections::BTreeMap;

use super::answer::{check_holds, frames};
use crate::attribute::push;
use crate::conntrack;
use crate::frame::Frame;
use crate::nftables::abi::{message, rule, set};
use crate::nftables::read::{ListedElement, attributes, elements_of, read_chain, read_elements, read_rule, read_set};
use crate::nftables::{
    Batch, Chain, Elements, Expression, Field, Intervals, Key, Rule, Set, Table, TableFamily, Target, Value,
};

/// `NFNL_SUBSYS_CTNETLINK`.
const CONNECTIONS: u16 = 1;
/// Bytes of the longest key whose ranges can be numbers.
const LONGEST_NUMBER: usize = 16;
/// Bytes of a rule's comment that are written.
const LONGEST_COMMENT: usize = 254;

/// Reads `bytes` as a datagram of a netfilter socket.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let frames = frames(bytes);
    for frame in frames.iter().filter(|frame| frame.message_type >> 8 == CONNECTIONS) {
        check_connection(frame);
    }
    let messages = || frames.iter().map(|frame| (frame.message_type, frame.payload));
    let table = writable(assembled(messages()));

    let requests = Batch::new().replace_table(&table).into_requests(None);
    let with_handles: Vec<_> =
        requests.iter().map(|request| (request.message_type, with_handle(&request.payload))).collect();
    let again = assembled(with_handles.iter().map(|(message_type, payload)| (*message_type, payload.as_slice())));
    assert_eq!(again, table);
    assert!(table.matches(Some(&again)));
}

/// The objects of all messages, as if they were of one table.
fn assembled<'a>(messages: impl Iterator<Item = (u16, &'a [u8])>) -> Table {
    let mut table = Table::new(TableFamily::Inet, "it");
    let mut elements: BTreeMap<String, Vec<ListedElement>> = BTreeMap::new();
    for (message_type, payload) in messages {
        match message_type {
            message::NEW_CHAIN => {
                let Ok((_, name, base)) = read_chain(payload) else { continue };
                table.chains.entry(name).or_default().base = base;
            }
            message::NEW_RULE => {
                let Ok((chain, listed)) = read_rule(payload) else { continue };
                table.chains.entry(chain).or_default().rules.push(listed.rule);
            }
            message::NEW_SET => {
                let Ok((name, set)) = read_set(payload) else { continue };
                table.sets.insert(name, set);
            }
            message::NEW_ELEMENT => {
                let name = attributes(payload).text(set::LIST_SET).unwrap_or_default();
                elements.entry(name).or_default().extend(read_elements(payload).into_iter().flatten());
            }
            _ => {}
        }
    }
    for (name, set) in &mut table.sets {
        let listed = elements.remove(name).unwrap_or_default();
        let count = listed.len();
        set.elements = elements_of(set, listed);
        assert!(set.elements.len() <= count, "more elements than the messages hold");
    }
    table
}

/// The table without what is only ever read: instructions of others, and elements that are not of their set's form, which the kernel
/// never sends.
fn writable(mut table: Table) -> Table {
    for Chain { rules, .. } in table.chains.values_mut() {
        rules.retain(|rule| !rule.expressions.iter().any(|expression| matches!(expression, Expression::Foreign(_))));
        rules.iter_mut().for_each(shorten_comment);
    }
    for set in table.sets.values_mut() {
        let Set { key, target, elements } = set;
        match elements {
            Elements::Keys(keys) => keys.retain(|element, value| fits(key, element) && leads_to(target, value)),
            Elements::Intervals(intervals) => *intervals = numbers_of(Field::concatenated_length(key), intervals),
        }
    }
    table
}

fn shorten_comment(rule: &mut Rule) {
    if let Some(comment) = &mut rule.comment {
        comment.truncate(comment.floor_char_boundary(LONGEST_COMMENT));
    }
}

fn fits(fields: &[Field], key: &Key) -> bool {
    Key::from_bytes(key.bytes_for(fields)) == *key
}

fn leads_to(target: &Target, value: &Value) -> bool {
    match (target, value) {
        (_, Value::Nothing | Value::Verdict(_)) => true,
        (Target::Fields(fields), Value::Fields(mapped)) => fits(fields, mapped),
        (Target::Nothing | Target::Verdict, Value::Fields(_)) => false,
    }
}

fn numbers_of(length: usize, intervals: &Intervals) -> Intervals {
    let greatest = if (1..=LONGEST_NUMBER).contains(&length) {
        u128::MAX >> (128 - 8 * length)
    } else {
        return Intervals::default();
    };
    Intervals::merged(intervals.iter().filter(|(_, last)| *last <= greatest))
}

/// The kernel gives each rule a number, which a new one does not have.
fn with_handle(payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    push(&mut payload, rule::HANDLE, &1_u64.to_be_bytes());
    payload
}

fn check_connection(frame: &Frame<'_>) {
    let Some(connection) = conntrack::read(frame.payload) else { return };
    for direction in [connection.original, connection.reply] {
        check_holds(frame.payload, direction.source.ip());
        check_holds(frame.payload, direction.destination.ip());
    }
    let request = conntrack::delete(&connection);
    let deleted = attributes(&request.payload);
    let told = attributes(frame.payload);
    assert_eq!(deleted.bytes(1), told.bytes(1), "another connection would be deleted");
}
