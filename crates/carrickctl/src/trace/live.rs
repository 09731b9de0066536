//! `--live`: probes along the ways, beside what the plans say.
//!
//! The node where a way begins sends them itself, with growing hop limits; so hop by hop a kernel answers, and where nobody answers any
//! more, the way ends.

use std::net::IpAddr;

use carrick_status::{HopSaid, LiveHop, LiveTracePage};
use serde::Serialize;

use super::{Trace, Way, end};
use crate::access::Access;
use crate::blueprint::Blueprint;
use crate::output::{Cell, Column, Sheet, Table, Tone, units};
use crate::survey::{Agent, Answer, Survey};

/// What probes along a way found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveWay {
    /// The node that sent them: itself, also where the way begins at a pod.
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
    /// What it said.
    pub said: Option<HopSaid>,
    /// From the probe to the answer, in microseconds.
    pub round_trip_us: Option<u64>,
}

/// Has the nodes where the ways begin send probes along them, one after the other: agents send few at a time.
pub async fn send_probes(access: &Access, survey: &Survey, blueprint: &Blueprint, trace: &mut Trace) {
    for way in &mut trace.ways {
        let by = way.nodes.first().cloned().unwrap_or_default();
        let live = match ask(access, survey, &by, way).await {
            Ok(page) => LiveWay::of(blueprint, by, way, page),
            Err(reason) => {
                LiveWay { end: format!("no probes: {reason}"), source: None, hops: Vec::new(), arrives: false, by }
            }
        };
        if !live.arrives {
            way.obstacles.push(format!("live: {}", live.end));
        }
        way.obstacles.extend(live.surprises());
        way.live = Some(live);
    }
}

async fn ask(access: &Access, survey: &Survey, by: &str, way: &Way) -> Result<LiveTracePage, String> {
    let agent = survey.agent(by).ok_or_else(|| format!("{by} has no agent that could send them"))?;
    match &agent.answer {
        Answer::Page(_) => {}
        Answer::Silence(reason) => return Err(format!("the agent of {by} does not answer: {reason}")),
        Answer::None => return Err(format!("{by} has no agent that could send them")),
    }
    // One for the pod behind the last node, and one to see that nothing follows.
    let hops = way.nodes.len() + 1;
    let body = fetch(access, agent, &format!("/trace?to={}&hops={hops}", way.destination)).await?;
    let page: LiveTracePage =
        serde_json::from_slice(&body).map_err(|error| format!("the answer of {by} cannot be read: {error}"))?;
    match page.not_sent {
        Some(reason) => Err(format!("{by} cannot send to {}: {reason}", way.destination)),
        None => Ok(page),
    }
}

async fn fetch(access: &Access, agent: &Agent, path: &str) -> Result<Vec<u8>, String> {
    let name = &agent.name;
    access.fetch(agent, path).await.map_err(|reason| {
        if reason.starts_with("it answers 404") {
            let version = agent.page().map(|page| page.version.as_str()).unwrap_or_default();
            format!("the agent of {name}, version {version}, sends none; upgrade it")
        } else {
            format!("the agent of {name}: {reason}")
        }
    })
}

impl LiveWay {
    fn of(blueprint: &Blueprint, by: String, way: &Way, page: LiveTracePage) -> Self {
        let arrives = page.arrives();
        let rows = page.hops.iter().map(|hop| LiveRow::of(blueprint, way, hop));
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
        self.hops.iter().rposition(|row| row.said.is_some()).map_or(0, |last| last + 1)
    }

    fn end_in_words(&self) -> String {
        let last = self.answered().checked_sub(1).and_then(|last| self.hops.get(last));
        let next = self.hops.get(self.answered()).and_then(|row| row.expected.clone());
        let next = next.map_or_else(|| "nobody answers behind it".to_owned(), |next| format!("{next} does not answer"));
        match last {
            Some(LiveRow { said: Some(HopSaid::Arrived), round_trip_us, .. }) => {
                format!(
                    "probes arrive{}",
                    round_trip_us.map(|us| format!(", {}", units::milliseconds(us))).unwrap_or_default()
                )
            }
            Some(row @ LiveRow { said: Some(HopSaid::Unreachable), .. }) => {
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

    pub(super) fn draw(&self, sheet: &mut Sheet) {
        let tone = if self.arrives { Tone::Good } else { Tone::Bad };
        let source = self.source.map(|source| format!(" from {source}")).unwrap_or_default();
        sheet.toned(format_args!("live, sent by {} itself{source}: {}", self.by, self.end), tone);
        let mut table = Table::new([
            Column::numbers("HOP"),
            Column::words("TO"),
            Column::words("ANSWERED BY"),
            Column::words("ADDRESS"),
            Column::numbers("ROUND TRIP"),
        ]);
        for (index, row) in self.hops.iter().enumerate() {
            let answered = match (row.said, &row.by) {
                (None, _) => Cell::of("no answer", Tone::Bad),
                (Some(_), Some(by)) => Cell::plain(by),
                (Some(_), None) => Cell::of("not of the mesh", Tone::Warn),
            };
            table.row([
                (index + 1).into(),
                Cell::or_dash(row.expected.as_ref()),
                answered,
                Cell::or_dash(row.address),
                Cell::or_dash(row.round_trip_us.map(units::milliseconds)),
            ]);
        }
        sheet.table(&table);
    }
}

impl LiveRow {
    fn of(blueprint: &Blueprint, way: &Way, hop: &LiveHop) -> Self {
        let place = usize::from(hop.hop_limit);
        // Behind the last node is a pod of it, if the way does not end at the node itself.
        let expected = way.nodes.get(place).cloned().or_else(|| (place == way.nodes.len()).then(|| way.to.clone()));
        let by = hop.answer.and_then(|answer| match end::host_with(blueprint, answer.from) {
            Some(node) => Some(node.to_string()),
            None => (answer.from == way.destination).then(|| way.to.clone()),
        });
        Self {
            expected,
            by,
            address: hop.answer.map(|answer| answer.from),
            said: hop.answer.map(|answer| answer.said),
            round_trip_us: hop.answer.map(|answer| answer.round_trip_us),
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
