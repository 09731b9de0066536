//! Paths, tunnels and gateways, collected at each scrape. Their number grows with the pairs of locations, not of nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use carrick_dataplane::Sighting;
use carrick_kube::watch::ApiStatus;
use carrick_probe::{PathKind, PathState, ProbedPath, ROUND_TRIP_BOUNDS, RoundTripCounts};
use carrick_topology::{LocationName, NodePlan, PublicKey};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::dropped::{self, DropReader};
use crate::agent::traffic::{Bytes, TrafficMeter};

/// The state of the mesh at one moment. The status writes it, and the registry reads it.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct MeshView(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
pub(in crate::agent) struct Content {
    pub(in crate::agent) plan: Option<Arc<NodePlan>>,
    /// The locations of the peers that are nodes.
    pub(in crate::agent) locations: BTreeMap<PublicKey, LocationName>,
    pub(in crate::agent) sightings: BTreeMap<PublicKey, Sighting>,
    pub(in crate::agent) traffic: TrafficMeter,
    pub(in crate::agent) path_reader: Option<PathReader>,
    pub(in crate::agent) drop_reader: Option<DropReader>,
    pub(in crate::agent) api: Option<Arc<ApiStatus>>,
}

impl MeshView {
    pub(in crate::agent) fn with<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads the state of each probed path.
#[derive(Clone)]
pub(in crate::agent) struct PathReader(Arc<dyn Fn() -> Vec<ProbedPath> + Send + Sync>);

impl PathReader {
    pub(in crate::agent) fn new(read: impl Fn() -> Vec<ProbedPath> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(in crate::agent) fn paths(&self) -> Vec<ProbedPath> {
        (self.0)()
    }
}

impl fmt::Debug for PathReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PathReader")
    }
}

/// Labels of the metrics about the paths between two locations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Pair {
    from: String,
    to: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct PathPair {
    from: String,
    to: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct PathPairState {
    from: String,
    to: String,
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ToLabel {
    to: String,
}

/// All paths of one kind between two locations.
#[derive(Debug, Default)]
struct PathSummary {
    histogram: RoundTripCounts,
    worst_loss: Option<f64>,
    least_mtu: Option<u32>,
    states: BTreeMap<&'static str, i64>,
}

impl Collector for MeshView {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let paths = self.with(|content| content.path_reader.clone()).map(|reader| reader.paths()).unwrap_or_default();
        let dropped = self.with(|content| content.drop_reader.clone()).map(|reader| reader.dropped());
        self.with(|content| {
            let Some(plan) = content.plan.clone() else { return Ok(()) };
            let own = plan.location.name.to_string();
            encode_gateways(&mut encoder, &plan)?;
            encode_handshakes(&mut encoder, content)?;
            encode_traffic(&mut encoder, &own, &content.traffic)?;
            encode_paths(&mut encoder, &own, &paths)?;
            dropped::encode(&mut encoder, &dropped.unwrap_or_default())?;
            encode_api(&mut encoder, content.api.as_deref())
        })
    }
}

fn encode_gateways(encoder: &mut DescriptorEncoder<'_>, plan: &NodePlan) -> fmt::Result {
    let help = "Gateways of the own location, as this node sees them";
    let mut family = encoder.encode_descriptor("gateways", help, None, MetricType::Gauge)?;
    let location = &plan.location;
    let gateways = [
        ("active", &location.active),
        ("standby", &location.standby),
        ("down", &location.down),
        ("drained", &location.drained),
    ];
    for (role, gateways) in gateways {
        family.encode_family(&RoleLabel { role })?.encode_gauge(&count(gateways.len()))?;
    }
    Ok(())
}

fn encode_handshakes(encoder: &mut DescriptorEncoder<'_>, content: &Content) -> fmt::Result {
    let mut oldest: BTreeMap<&LocationName, f64> = BTreeMap::new();
    for (key, location) in &content.locations {
        if let Some(age) = content.sightings.get(key).and_then(|sighting| sighting.since_handshake) {
            let oldest = oldest.entry(location).or_default();
            *oldest = oldest.max(age.as_secs_f64());
        }
    }
    let help = "Time since the last handshake, of the tunnel to the location for which it is longest";
    let mut family =
        encoder.encode_descriptor("tunnel_handshake_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
    for (location, age) in oldest {
        family.encode_family(&ToLabel { to: location.to_string() })?.encode_gauge(&age)?;
    }
    Ok(())
}

fn encode_traffic(encoder: &mut DescriptorEncoder<'_>, own: &str, traffic: &TrafficMeter) -> fmt::Result {
    let sent = |location: &LocationName| Pair { from: own.to_owned(), to: location.to_string() };
    let received = |location: &LocationName| Pair { from: location.to_string(), to: own.to_owned() };
    let help = "Bytes sent through tunnels, as WireGuard counts them";
    encode_bytes(encoder, "tunnel_sent", help, traffic, |location, bytes| (sent(location), bytes.sent))?;
    let help = "Bytes received through tunnels, as WireGuard counts them";
    encode_bytes(encoder, "tunnel_received", help, traffic, |location, bytes| (received(location), bytes.received))
}

fn encode_bytes(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    traffic: &TrafficMeter,
    of: impl Fn(&LocationName, &Bytes) -> (Pair, u64),
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Counter)?;
    for (location, bytes) in traffic.totals() {
        let (pair, bytes) = of(location, bytes);
        family.encode_family(&pair)?.encode_counter::<NoLabelSet, u64, u64>(&bytes, None)?;
    }
    Ok(())
}

fn encode_paths(encoder: &mut DescriptorEncoder<'_>, own: &str, paths: &[ProbedPath]) -> fmt::Result {
    let mut pairs: BTreeMap<PathPair, PathSummary> = BTreeMap::new();
    for path in paths {
        let pair = PathPair { from: own.to_owned(), to: path.location.to_string(), kind: kind_name(path.kind) };
        pairs.entry(pair).or_default().add(path);
    }
    let help = "Round trips of probes";
    let mut family = encoder.encode_descriptor("path_round_trip", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (pair, summary) in &pairs {
        let counts = summary.histogram.counts;
        let bounds = ROUND_TRIP_BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let all = counts.iter().sum();
        family.encode_family(pair)?.encode_histogram::<NoLabelSet>(
            summary.histogram.sum_seconds,
            all,
            &buckets,
            None,
        )?;
    }
    let help = "The share of recent probes without an answer, of the worst path, from 0 to 1";
    let mut family = encoder.encode_descriptor("path_loss_ratio", help, None, MetricType::Gauge)?;
    for (pair, loss) in pairs.iter().filter_map(|(pair, summary)| Some((pair, summary.worst_loss?))) {
        family.encode_family(pair)?.encode_gauge(&loss)?;
    }
    let help = "The largest IP packet that passes, of the narrowest path";
    let mut family = encoder.encode_descriptor("path_mtu", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for (pair, mtu) in pairs.iter().filter_map(|(pair, summary)| Some((pair, summary.least_mtu?))) {
        family.encode_family(pair)?.encode_gauge(&i64::from(mtu))?;
    }
    let mut family = encoder.encode_descriptor("paths", "Probed paths by state", None, MetricType::Gauge)?;
    for (PathPair { from, to, kind }, summary) in &pairs {
        for (state, paths) in &summary.states {
            let labels = PathPairState { from: from.clone(), to: to.clone(), kind, state };
            family.encode_family(&labels)?.encode_gauge(paths)?;
        }
    }
    Ok(())
}

fn encode_api(encoder: &mut DescriptorEncoder<'_>, api: Option<&ApiStatus>) -> fmt::Result {
    let Some(api) = api.map(ApiStatus::snapshot) else { return Ok(()) };
    let help = "Watches on the API server that failed and were restarted";
    let mut counter = encoder.encode_descriptor("api_watch_restarts", help, None, MetricType::Counter)?;
    counter.encode_counter::<NoLabelSet, u64, u64>(&api.restarts, None)?;
    if let Some(heard) = api.last_heard {
        let help = "Time since the API server last sent anything";
        let mut gauge =
            encoder.encode_descriptor("api_knowledge_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        gauge.encode_gauge(&Instant::now().saturating_duration_since(heard).as_secs_f64())?;
    }
    Ok(())
}

impl PathSummary {
    fn add(&mut self, path: &ProbedPath) {
        for (sum, count) in self.histogram.counts.iter_mut().zip(path.histogram.counts) {
            *sum += count;
        }
        self.histogram.sum_seconds += path.histogram.sum_seconds;
        self.worst_loss = self.worst_loss.into_iter().chain(path.loss).reduce(f64::max);
        self.least_mtu = self.least_mtu.into_iter().chain(path.mtu).min();
        *self.states.entry(state_name(path.state)).or_default() += 1;
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const fn kind_name(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Tunnel => "tunnel",
        PathKind::Inside => "inside",
    }
}

const fn state_name(state: PathState) -> &'static str {
    match state {
        PathState::Unknown => "unknown",
        PathState::Up => "up",
        PathState::AgentAway => "agent-away",
        PathState::Down => "down",
    }
}
