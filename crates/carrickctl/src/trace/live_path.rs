//! The result of live probes along a path, beside what the plans say.

use std::net::IpAddr;

use carrick_status::{LiveHop, LiveTracePage, ReplyKind};
use serde::Serialize;

use super::end::node_with;
use crate::cluster_plan::ClusterPlan;
use crate::output::{Cell, Column, Document, Style, Table, units};

/// The path of a packet according to the plans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedRoute<'a> {
    /// The nodes on the path, in order, including the first and the last one.
    pub nodes: &'a [String],
    /// The receiver.
    pub to: &'a str,
    /// The destination address.
    pub destination: IpAddr,
}

/// The result of the probes along a path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LivePath {
    /// The node that sends the probes. If the path begins at a pod, its node sends.
    pub by: String,
    /// The source address of the probes.
    pub source: Option<IpAddr>,
    /// The hops, in order.
    pub hops: Vec<LiveRow>,
    /// Whether a probe arrived.
    pub arrives: bool,
    /// Where the probes end, for people.
    pub end: String,
}

/// The result of the probes with one hop limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveRow {
    /// The node or pod that should reply, according to the plans.
    pub expected: Option<String>,
    /// The node or pod that replied, if the address belongs to one.
    pub by: Option<String>,
    /// The address that replied.
    pub address: Option<IpAddr>,
    /// The kind of the reply.
    pub reply: Option<ReplyKind>,
    /// The time from the probe to the reply, in microseconds.
    pub round_trip_us: Option<u64>,
}

impl LivePath {
    pub(crate) fn of(cluster_plan: &ClusterPlan, by: String, route: PlannedRoute<'_>, page: &LiveTracePage) -> Self {
        let arrives = page.arrives();
        let hops = page.hops.iter().map(|hop| LiveRow::of(cluster_plan, route, hop)).collect();
        let mut live = Self { by, source: page.source, hops, arrives, end: String::new() };
        live.end = live.end_text();
        if !arrives {
            // No reply is expected from the hops after the one where the probes end.
            live.hops.truncate(live.replied() + 1);
        }
        live
    }

    /// The number of hops up to the last one that replied.
    fn replied(&self) -> usize {
        self.hops.iter().rposition(|row| row.reply.is_some()).map_or(0, |last| last + 1)
    }

    fn end_text(&self) -> String {
        let last = self.replied().checked_sub(1).and_then(|last| self.hops.get(last));
        let next = self.hops.get(self.replied()).and_then(|row| row.expected.clone());
        let next = next.map_or_else(|| "no further hop replies".to_owned(), |next| format!("{next} does not reply"));
        let Some(last) = last else { return format!("probes end after {}: {next}", self.by) };
        match last.reply {
            Some(ReplyKind::Arrived) => match last.round_trip_us {
                Some(round_trip) => format!("probes arrive, {}", units::milliseconds(round_trip)),
                None => "probes arrive".to_owned(),
            },
            Some(ReplyKind::Unreachable) => {
                format!("probes end at {}, which reports that the destination is unreachable", last.name())
            }
            Some(ReplyKind::TimeExceeded) | None => format!("probes end after {}: {next}", last.name()),
        }
    }

    /// The hops where another node replied than the plans say.
    pub(super) fn detours(&self) -> impl Iterator<Item = String> {
        let detour = |(index, row): (usize, &LiveRow)| match (&row.expected, &row.by) {
            (Some(expected), Some(by)) if expected != by => {
                Some(format!("live: {by} replies at hop {}, but the plans say {expected}", index + 1))
            }
            _ => None,
        };
        self.hops.iter().enumerate().filter_map(detour)
    }

    pub(super) fn draw(&self, document: &mut Document) {
        let style = if self.arrives { Style::Good } else { Style::Bad };
        let source = self.source.map(|source| format!(" ({source})")).unwrap_or_default();
        document.styled(format_args!("live, from node {}{source}: {}", self.by, self.end), style);
        let mut table = Table::new([
            Column::numbers("HOP"),
            Column::text("TO"),
            Column::text("REPLY FROM"),
            Column::text("ADDRESS"),
            Column::numbers("ROUND TRIP"),
        ]);
        for (index, row) in self.hops.iter().enumerate() {
            let from = match (row.reply, &row.by) {
                (None, _) => Cell::of("no reply", Style::Bad),
                (Some(_), Some(by)) => Cell::plain(by),
                (Some(_), None) => Cell::of("not in the mesh", Style::Warn),
            };
            table.row([
                (index + 1).into(),
                Cell::or_dash(row.expected.as_ref()),
                from,
                Cell::or_dash(row.address),
                Cell::or_dash(row.round_trip_us.map(units::milliseconds)),
            ]);
        }
        document.table(&table);
    }
}

impl LiveRow {
    fn of(cluster_plan: &ClusterPlan, route: PlannedRoute<'_>, hop: &LiveHop) -> Self {
        let index = usize::from(hop.hop_limit);
        // The hop after the last node is a pod of that node, unless the path ends at the node itself.
        let expected =
            route.nodes.get(index).cloned().or_else(|| (index == route.nodes.len()).then(|| route.to.to_owned()));
        let by = hop.reply.and_then(|reply| match node_with(cluster_plan, reply.from) {
            Some(node) => Some(node.to_string()),
            None => (reply.from == route.destination).then(|| route.to.to_owned()),
        });
        Self {
            expected,
            by,
            address: hop.reply.map(|reply| reply.from),
            reply: hop.reply.map(|reply| reply.kind),
            round_trip_us: hop.reply.map(|reply| reply.round_trip_us),
        }
    }

    fn name(&self) -> String {
        match (&self.by, self.address) {
            (Some(by), _) => by.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "an unknown node".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_end_after_the_last_hop_that_replies() {
        let row = |by: Option<&str>, expected: &str| LiveRow {
            expected: Some(expected.to_owned()),
            by: by.map(ToOwned::to_owned),
            address: None,
            reply: by.map(|_| ReplyKind::TimeExceeded),
            round_trip_us: None,
        };
        let hops = vec![row(Some("b1"), "b1"), row(None, "b2")];
        let live = LivePath { by: "a1".to_owned(), source: None, hops, arrives: false, end: String::new() };
        assert_eq!(live.end_text(), "probes end after b1: b2 does not reply");
        let detour = LivePath { hops: vec![row(Some("c1"), "b1")], ..live };
        assert_eq!(detour.detours().collect::<Vec<_>>(), ["live: c1 replies at hop 1, but the plans say b1"]);
    }
}
