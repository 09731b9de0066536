//! The bytes that this node sends and receives through its tunnels, by location.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use carrick_dataplane::Sighting;
use carrick_topology::{LocationName, PublicKey};

use carrick_core::Now;

/// Rates are taken over this time.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Bytes in both directions, as WireGuard counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// Sums the counters of peers. WireGuard's counters restart with each peer and each device; these sums do not.
#[derive(Debug, Default)]
pub(super) struct TrafficMeter {
    counters: Option<BTreeMap<PublicKey, Bytes>>,
    totals: BTreeMap<LocationName, Bytes>,
    /// Sent bytes at earlier times, oldest first.
    history: VecDeque<(Now, BTreeMap<LocationName, u64>)>,
}

impl TrafficMeter {
    /// Takes what was seen of the peers, of which those that are nodes stand in these locations. What they had moved before the first look is
    /// not counted. A device that could not be read (`None`) says nothing: the next look counts from the last one.
    pub(super) fn take(
        &mut self,
        now: Now,
        locations: &BTreeMap<PublicKey, LocationName>,
        sightings: Option<&BTreeMap<PublicKey, Sighting>>,
    ) {
        if let Some(sightings) = sightings {
            self.count(locations, sightings);
        }
        self.remember(now);
    }

    fn count(&mut self, locations: &BTreeMap<PublicKey, LocationName>, sightings: &BTreeMap<PublicKey, Sighting>) {
        let is_first = self.counters.is_none();
        let before = self.counters.take().unwrap_or_default();
        let mut counters = BTreeMap::new();
        for (key, sighting) in sightings {
            let bytes = Bytes { sent: sighting.sent_bytes, received: sighting.received_bytes };
            counters.insert(*key, bytes);
            let Some(location) = locations.get(key) else { continue };
            let total = self.totals.entry(location.clone()).or_default();
            if is_first {
                continue;
            }
            let last = before.get(key).copied().unwrap_or_default();
            total.sent += since(last.sent, bytes.sent);
            total.received += since(last.received, bytes.received);
        }
        self.counters = Some(counters);
    }

    /// Bytes to and from each location since the first look.
    pub(super) const fn totals(&self) -> &BTreeMap<LocationName, Bytes> {
        &self.totals
    }

    /// Bytes sent to a location in a second, over the last minute.
    pub(super) fn rate(&self, location: &LocationName) -> f64 {
        let (Some((then, old)), Some((now, new))) = (self.history.front(), self.history.back()) else { return 0.0 };
        let seconds = now.saturating_sub(*then).as_secs_f64();
        let sent = |at: &BTreeMap<LocationName, u64>| at.get(location).copied().unwrap_or_default();
        if seconds > 0.0 { sent(new).saturating_sub(sent(old)) as f64 / seconds } else { 0.0 }
    }

    fn remember(&mut self, now: Now) {
        let sent = self.totals.iter().map(|(location, bytes)| (location.clone(), bytes.sent)).collect();
        self.history.push_back((now, sent));
        while self.history.get(1).is_some_and(|(then, _)| now.saturating_sub(*then) >= RATE_WINDOW) {
            self.history.pop_front();
        }
    }
}

/// The increase of a counter. A counter that is smaller than before has restarted.
const fn since(last: u64, counter: u64) -> u64 {
    if counter < last { counter } else { counter - last }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: u64, received: u64) -> BTreeMap<PublicKey, Sighting> {
        let sighting = Sighting { sent_bytes: sent, received_bytes: received, ..Sighting::default() };
        [(PublicKey::from_bytes([2; 32]), sighting)].into()
    }

    #[test]
    fn bytes_are_added_up_by_location_also_when_counters_begin_anew() {
        let b: LocationName = "b".parse().unwrap();
        let locations = [(PublicKey::from_bytes([2; 32]), b.clone())].into();
        let mut meter = TrafficMeter::default();
        let take = |meter: &mut TrafficMeter, seconds, sent, received| {
            meter.take(Duration::from_secs(seconds), &locations, Some(&seen(sent, received)));
        };
        take(&mut meter, 100, 5_000, 7_000);
        assert_eq!(meter.totals()[&b], Bytes::default(), "what was before the agent is not counted");
        take(&mut meter, 110, 6_000, 9_000);
        assert_eq!(meter.totals()[&b], Bytes { sent: 1_000, received: 2_000 });
        assert!((meter.rate(&b) - 100.0).abs() < 1e-9);
        take(&mut meter, 120, 500, 0);
        assert_eq!(meter.totals()[&b], Bytes { sent: 1_500, received: 2_000 });
        for seconds in 121..300 {
            take(&mut meter, seconds, 500, 0);
        }
        assert!(meter.rate(&b).abs() < 1e-9);
    }

    #[test]
    fn a_device_that_cannot_be_read_for_some_time_does_not_count_its_bytes_again() {
        let b: LocationName = "b".parse().unwrap();
        let locations = [(PublicKey::from_bytes([2; 32]), b.clone())].into();
        let mut meter = TrafficMeter::default();
        let mut take = |seconds, sightings: Option<BTreeMap<PublicKey, Sighting>>| {
            meter.take(Duration::from_secs(seconds), &locations, sightings.as_ref());
            meter.totals().get(&b).copied().unwrap_or_default()
        };
        assert_eq!(take(90, None), Bytes::default());
        assert_eq!(take(100, Some(seen(5_000, 7_000))), Bytes::default(), "the first look is the first that sees");
        assert_eq!(take(110, Some(seen(6_000, 9_000))), Bytes { sent: 1_000, received: 2_000 });
        assert_eq!(take(120, None), Bytes { sent: 1_000, received: 2_000 });
        assert_eq!(take(130, Some(seen(6_500, 9_100))), Bytes { sent: 1_500, received: 2_100 });
    }
}
