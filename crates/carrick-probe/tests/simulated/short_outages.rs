//! One tunnel carries nothing for a moment: one end may find the other one down, and the other end may notice nothing.

use std::time::Duration;

use crate::broken_tunnels::{DIRECTIONS, Lost, break_tunnel};
use crate::mesh::Mesh;
use crate::world::seconds;

/// Packets flow again within this time after the tunnel works again.
const LIMIT: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The longest time for which pods do not reach each other without a break.
pub fn longest_outage(mesh: &mut Mesh, time: Duration) -> Duration {
    let (mut longest, mut since) = (Duration::ZERO, None);
    mesh.run(time, |mesh| {
        since = (!mesh.cut_off().is_empty()).then(|| since.unwrap_or(mesh.now));
        longest = longest.max(since.map_or(Duration::ZERO, |since| mesh.now - since));
    });
    longest
}

/// Breaks the tunnel between `a1` and `b1` for this time, and returns for how long pods do not reach each other afterwards.
fn outage_after(mesh: &mut Mesh, lost: Lost, broken: Duration, observed: Duration) -> Duration {
    break_tunnel(mesh, ("a1", "b1"), lost);
    mesh.run(broken, |_| ());
    mesh.broken.clear();
    longest_outage(mesh, observed)
}

/// Outages of these lengths in milliseconds, at each phase of the probes of both ends.
fn survives_at_every_phase(up: impl Fn() -> Mesh, lengths: impl Iterator<Item = u64> + Clone) {
    for phase in [0, 50, 100, 150, 200] {
        for (broken, lost) in lengths.clone().zip(DIRECTIONS.into_iter().cycle().skip(usize::from(phase == 100))) {
            let mut mesh = up();
            mesh.delay("b1", ms(phase));
            // After the time for which a delayed prober waits longer.
            mesh.run(seconds(6) + ms(broken * 7 % 250), |_| ());
            let outage = outage_after(&mut mesh, lost, ms(broken), seconds(4));
            assert!(outage <= LIMIT, "{lost:?}, broken for {broken} ms, phase {phase} ms: {outage:?}");
        }
    }
}

/// From 0.4 s to 3 s.
fn all_lengths() -> impl Iterator<Item = u64> + Clone {
    (400..=1_200).step_by(100).chain([1_500, 2_000, 3_000])
}

/// Outages of all lengths, one every 15 s.
fn survives_again_and_again(mut mesh: Mesh) {
    mesh.delay("b1", ms(100));
    for broken in [700, 800, 1_000, 600, 2_000, 750, 900, 1_500, 650, 850, 3_000, 700] {
        mesh.run(ms(broken % 230), |_| ());
        let outage = outage_after(&mut mesh, Lost::BothWays, ms(broken), seconds(15));
        assert!(outage <= LIMIT, "broken for {broken} ms at {:?}: {outage:?}", mesh.now);
    }
}

#[test]
fn gateways_agree_after_a_short_outage_of_their_tunnel() {
    survives_at_every_phase(|| Mesh::up(&["a1", "a2", "b1", "b2", "b3"]), all_lengths());
}

#[test]
fn nodes_with_tunnels_of_their_own_agree_after_a_short_outage() {
    survives_at_every_phase(|| Mesh::cross(&["a1", "a2", "b1", "b2"]), all_lengths());
}

#[test]
fn a_location_of_one_node_agrees_with_the_others_after_a_short_outage() {
    // After 1.0 to 1.3 s without another tunnel, a part of the nodes of `b` may have found `b1` isolated.
    let lengths = all_lengths().filter(|broken| !(1_000..1_400).contains(broken));
    survives_at_every_phase(|| Mesh::up(&["a1", "b1", "b2", "b3"]), lengths);
}

#[test]
fn gateways_agree_after_each_of_many_outages() {
    survives_again_and_again(Mesh::up(&["a1", "a2", "b1", "b2", "b3"]));
}

#[test]
fn nodes_with_tunnels_of_their_own_agree_after_each_of_many_outages() {
    survives_again_and_again(Mesh::cross(&["a1", "a2", "b1", "b2"]));
}

#[test]
fn a_tunnel_with_many_short_outages_moves_no_traffic_at_each_of_them() {
    for phase in [50, 125, 200] {
        let mut mesh = Mesh::cross(&["a1", "a2", "b1", "b2"]);
        mesh.delay("b1", ms(phase));
        let (mut moves, mut was_down) = (0, [false; 2]);
        let mut count = |mesh: &Mesh| {
            let is_down = ["a1", "b1"].map(|node| !mesh.down(node).is_empty());
            moves += is_down.iter().zip(was_down).filter(|(is, was)| **is && !was).count();
            was_down = is_down;
        };
        for broken in [700, 800, 600, 900, 750, 850, 650, 800, 700] {
            break_tunnel(&mut mesh, ("a1", "b1"), Lost::BothWays);
            mesh.run(ms(broken), &mut count);
            mesh.broken.clear();
            mesh.run(seconds(15), &mut count);
        }
        // Three at each end.
        assert!(moves <= 6, "phase {phase} ms: {moves}");
    }
}
