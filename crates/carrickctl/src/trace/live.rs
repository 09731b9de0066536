//! `--live`: probes along the paths, beside what the plans say.
//!
//! The node where a path begins sends them itself, with growing hop limits; so hop by hop a kernel answers, and where nobody answers any
//! more, the path ends.

use std::net::IpAddr;

use carrick_status::{LiveHop, LiveTracePage, ReplyKind};
use serde::Serialize;

use super::{Trace, TracedPath, end};
use crate::access::Access;
use crate::cluster_plan::ClusterPlan;
use crate::fetch_error::FetchError;
use crate::output::{Cell, Column, Document, Style, Table, units};
use crate::snapshot::{Agent, Answer, Snapshot};

/// What probes along a path found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LivePath {
    /// The node that sent them: itself, also where the path begins at a pod.
    pub by: String,
    /// The address that it sent from.
    pub source: Option<IpAddr>,
    /// The hops, in order.
    pub hops: Vec<LiveRow>,
    /// Whether one arrived.
    pub arrives: bool,
    /// How it ends, in words.
    pub end: String,
}

/// What came of the probes with one hop limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveRow {
    /// Who should answer, by the plans.
    pub expected: Option<String>,
    /// Who did, as far as the address tells.
    pub by: Option<String>,
    /// The address that answered.
    pub address: Option<IpAddr>,
    /// What it kind.
    pub kind: Option<ReplyKind>,
    /// From the probe to the answer, in microseconds.
    pub round_trip_us: Option<u64>,
}

/// Has the nodes where the paths begin send probes along them, one after the other: agents send few at a time.
pub async fn send_probes(access: &Access, snapshot: &Snapshot, cluster_plan: &ClusterPlan, trace: &mut Trace) {
    for path in &mut trace.paths {
        let by = path.nodes.first().cloned().unwrap_or_default();
        let live = match ask(access, snapshot, &by, path).await {
            Ok(page) => LivePath::of(cluster_plan, by, path, page),
            Err(reason) => {
                LivePath { end: format!("no probes: {reason}"), source: None, hops: Vec::new(), arrives: false, by }
            }
        };
        if !live.arrives {
            path.obstacles.push(format!("live: {}", live.end));
        }
        path.obstacles.extend(live.surprises());
        path.live = Some(live);
    }
}

async fn ask(access: &Access, snapshot: &Snapshot, by: &str, path: &TracedPath) -> Result<LiveTracePage, String> {
    let agent = snapshot.agent(by).ok_or_else(|| format!("{by} has no agent that could send them"))?;
    match &agent.answer {
        Answer::Page(_) => {}
        Answer::Unreachable(reason) => return Err(format!("the agent of {by} does not answer: {reason}")),
        Answer::NoAgent => return Err(format!("{by} has no agent that could send them")),
    }
    // One for the pod behind the last node, and one to see that nothing follows.
    let hops = path.nodes.len() + 1;
    let page: LiveTracePage = access
        .fetch_json(agent, &format!("/trace?to={}&hops={hops}", path.destination))
        .await
        .map_err(|error| no_probes(agent, &error))?;
    match page.not_sent {
        Some(reason) => Err(format!("{by} cannot send to {}: {reason}", path.destination)),
        None => Ok(page),
    }
}

fn no_probes(agent: &Agent, error: &FetchError) -> String {
    let name = &agent.name;
    if error.is_unknown_page() {
        let version = agent.page().map(|page| page.version.as_str()).unwrap_or_default();
        format!("the agent of {name}, version {version}, cannot send probes; upgrade it")
    } else {
        format!("the agent of {name}: {error}")
    }
}

impl LivePath {
    fn of(cluster_plan: &ClusterPlan, by: String, path: &TracedPath, page: LiveTracePage) -> Self {
        let arrives = page.arrives();
        let rows = page.hops.iter().map(|hop| LiveRow::of(cluster_plan, path, hop));
        let hops: Vec<LiveRow> = rows.collect();
        let mut live = Self { by, source: page.source, hops, arrives, end: String::new() };
        live.end = live.end_in_words();
        if !arrives {
            // Behind the hop where it ends, there is nothing to expect.
            live.hops.truncate(live.answered() + 1);
        }
        live
    }

    /// How many hops there are up to the last that answered.
    fn answered(&self) -> usize {
        self.hops.iter().rposition(|row| row.kind.is_some()).map_or(0, |last| last + 1)
    }

    fn end_in_words(&self) -> String {
        let last = self.answered().checked_sub(1).and_then(|last| self.hops.get(last));
        let next = self.hops.get(self.answered()).and_then(|row| row.expected.clone());
        let next = next.map_or_else(|| "nobody answers behind it".to_owned(), |next| format!("{next} does not answer"));
        match last {
            Some(LiveRow { kind: Some(ReplyKind::Arrived), round_trip_us, .. }) => {
                format!(
                    "probes arrive{}",
                    round_trip_us.map(|us| format!(", {}", units::milliseconds(us))).unwrap_or_default()
                )
            }
            Some(row @ LiveRow { kind: Some(ReplyKind::Unreachable), .. }) => {
                format!("probes end at {}, which says that they get no further", row.name())
            }
            Some(row) => format!("probes end behind {}: {next}", row.name()),
            None => format!("probes end behind {}: {next}", self.by),
        }
    }

    /// Hops that another node answered than the plans say.
    fn surprises(&self) -> impl Iterator<Item = String> {
        let surprise = |(index, row): (usize, &LiveRow)| match (&row.expected, &row.by) {
            (Some(expected), Some(by)) if expected != by => {
                Some(format!("live: hop {} is answered by {by}, where the plans say {expected}", index + 1))
            }
            _ => None,
        };
        self.hops.iter().enumerate().filter_map(surprise)
    }

    pub(super) fn draw(&self, document: &mut Document) {
        let style = if self.arrives { Style::Good } else { Style::Bad };
        let source = self.source.map(|source| format!(" from {source}")).unwrap_or_default();
        document.styled(format_args!("live, sent by {} itself{source}: {}", self.by, self.end), style);
        let mut table = Table::new([
            Column::numbers("HOP"),
            Column::words("TO"),
            Column::words("ANSWERED BY"),
            Column::words("ADDRESS"),
            Column::numbers("ROUND TRIP"),
        ]);
        for (index, row) in self.hops.iter().enumerate() {
            let answered = match (row.kind, &row.by) {
                (None, _) => Cell::of("no answer", Style::Bad),
                (Some(_), Some(by)) => Cell::plain(by),
                (Some(_), None) => Cell::of("not of the mesh", Style::Warn),
            };
            table.row([
                (index + 1).into(),
                Cell::or_dash(row.expected.as_ref()),
                answered,
                Cell::or_dash(row.address),
                Cell::or_dash(row.round_trip_us.map(units::milliseconds)),
            ]);
        }
        document.table(&table);
    }
}

impl LiveRow {
    fn of(cluster_plan: &ClusterPlan, path: &TracedPath, hop: &LiveHop) -> Self {
        let place = usize::from(hop.hop_limit);
        // Behind the last node is a pod of it, if the path does not end at the node itself.
        let expected = path.nodes.get(place).cloned().or_else(|| (place == path.nodes.len()).then(|| path.to.clone()));
        let by = hop.reply.and_then(|answer| match end::host_with(cluster_plan, answer.from) {
            Some(node) => Some(node.to_string()),
            None => (answer.from == path.destination).then(|| path.to.clone()),
        });
        Self {
            expected,
            by,
            address: hop.reply.map(|answer| answer.from),
            kind: hop.reply.map(|answer| answer.kind),
            round_trip_us: hop.reply.map(|answer| answer.round_trip_us),
        }
    }

    fn name(&self) -> String {
        match (&self.by, self.address) {
            (Some(by), _) => by.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "nobody".to_owned(),
        }
    }
}
