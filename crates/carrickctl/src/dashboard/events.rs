//! What happened on all nodes, in one order.

use std::cmp::Reverse;

use carrick_status::{AgentEventKind, StatusPage};
use carrick_topology::NodeName;
use serde::Serialize;

/// More than this nobody reads.
const MOST: usize = 500;

/// A clock that is further off than this is corrected, in milliseconds; a page is that long on its way at most.
const TOLERANCE_MS: u64 = 2_000;

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, in milliseconds since 1970-01-01 UTC by the clock of this machine.
    pub unix_ms: u64,
    /// On which node.
    pub node: NodeName,
    /// What kind of thing.
    pub kind: AgentEventKind,
    /// What, in words.
    pub text: String,
}

/// What happened on all nodes, the latest first. Nodes' clocks that are wrong are set right by what each page says that the time is.
#[must_use]
pub fn merge(pages: &[&StatusPage], now_unix_ms: u64) -> Vec<Event> {
    let mut events: Vec<Event> = pages.iter().flat_map(|page| of_page(page, now_unix_ms)).collect();
    events.sort_by(|one, other| {
        let key = |event: &Event| (Reverse(event.unix_ms), event.node.clone());
        key(one).cmp(&key(other))
    });
    events.truncate(MOST);
    events
}

fn of_page(page: &StatusPage, now_unix_ms: u64) -> impl Iterator<Item = Event> {
    let off = page.unix_ms.abs_diff(now_unix_ms);
    let is_right = off <= TOLERANCE_MS || page.unix_ms == 0;
    // Each page is written anew: without rounding, the same event would move a little each time.
    let off = off.saturating_add(500) / 1000 * 1000;
    let right = move |unix_ms: u64| match (is_right, page.unix_ms > now_unix_ms) {
        (true, _) => unix_ms,
        (false, true) => unix_ms.saturating_sub(off),
        (false, false) => unix_ms.saturating_add(off),
    };
    // Oldest first on the page; the sort is stable.
    page.node.iter().flat_map(move |node| {
        page.events.iter().rev().map(move |happening| Event {
            unix_ms: right(happening.unix_ms),
            node: node.clone(),
            kind: happening.kind,
            text: happening.text.clone(),
        })
    })
}
