//! The events of all nodes in one list.

use std::cmp::Reverse;

use carrick_status::{AgentEventKind, StatusPage};
use carrick_topology::NodeName;
use serde::Serialize;

/// The greatest number of events on the page.
const MAX_EVENTS: usize = 500;

/// The difference of clocks above which event times are corrected, in milliseconds. A page takes less time to arrive.
const TOLERANCE_MS: u64 = 2_000;

/// An event of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When the event happened, in milliseconds since 1970-01-01 UTC by the clock of this machine.
    pub unix_ms: u64,
    /// The node of the event.
    pub node: NodeName,
    /// The kind of the event.
    pub kind: AgentEventKind,
    /// The description, for people.
    pub text: String,
}

/// The events of all nodes, the latest first. The time on each page corrects the event times of a node whose clock is wrong.
#[must_use]
pub fn merge(pages: &[&StatusPage], now_unix_ms: u64) -> Vec<Event> {
    let mut events: Vec<Event> = pages.iter().flat_map(|page| of_page(page, now_unix_ms)).collect();
    events.sort_by(|one, other| {
        let key = |event: &Event| (Reverse(event.unix_ms), event.node.clone());
        key(one).cmp(&key(other))
    });
    events.truncate(MAX_EVENTS);
    events
}

fn of_page(page: &StatusPage, now_unix_ms: u64) -> impl Iterator<Item = Event> {
    let difference = page.unix_ms.abs_diff(now_unix_ms);
    let is_correct = difference <= TOLERANCE_MS || page.unix_ms == 0;
    // Without rounding, the same event would get a slightly different time from each page.
    let difference = difference.saturating_add(500) / 1000 * 1000;
    let corrected = move |unix_ms: u64| match (is_correct, page.unix_ms > now_unix_ms) {
        (true, _) => unix_ms,
        (false, true) => unix_ms.saturating_sub(difference),
        (false, false) => unix_ms.saturating_add(difference),
    };
    // A page lists the oldest event first, and the sort is stable.
    page.node.iter().flat_map(move |node| {
        page.events.iter().rev().map(move |event| Event {
            unix_ms: corrected(event.unix_ms),
            node: node.clone(),
            kind: event.kind,
            text: event.text.clone(),
        })
    })
}
