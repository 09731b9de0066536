//! When a peer's endpoint is written: when the peer is added, when the wanted endpoint changes, when the session is dead.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use carrick_dataplane::endpoint_memory::Endpoints;
use carrick_dataplane::observed::Observed;
use carrick_dataplane::{Circumstances, Operation, diff};
use carrick_netlink::wireguard::PublicKey;
use carrick_topology::plan::{NamedEndpoint, NodePlan};
use carrick_topology::{Endpoint, Host};

use crate::model::untouched;
use crate::{desired, plans, reach};

const HANDSHAKE: Duration = Duration::from_secs(10_000);

fn peer_key() -> PublicKey {
    plans::key(1)
}

fn roamed() -> SocketAddr {
    "203.0.113.9:40000".parse().unwrap()
}

fn plan_with_peer() -> NodePlan {
    let mut plan = plans::alone();
    plan.wireguard.peers.insert(plans::key(1), plans::peer(1));
    plan
}

fn wanted(plan: &NodePlan) -> SocketAddr {
    plan.wireguard.peers[&plans::key(1)].endpoint.unwrap()
}

/// A kernel whose peer was heard from `endpoint`, with a handshake at [`HANDSHAKE`].
fn heard_from(plan: &NodePlan, endpoint: SocketAddr) -> Observed {
    let mut state = untouched();
    reach(&mut state, plan);
    let peers = &mut state.wireguard.as_mut().unwrap().configuration.as_mut().unwrap().peers;
    peers[0].endpoint = Some(endpoint);
    peers[0].last_handshake = Some(HANDSHAKE);
    state
}

/// The endpoint that is written so long after the handshake, if any.
fn written(plan: &NodePlan, state: &Observed, after: u64, memory: &[SocketAddr]) -> Option<SocketAddr> {
    let memory: Endpoints = memory.iter().map(|endpoint| (peer_key(), *endpoint)).collect();
    let now = SystemTime::UNIX_EPOCH + HANDSHAKE + Duration::from_secs(after);
    let circumstances = Circumstances { now, written_endpoints: &memory, seen_endpoints: &Endpoints::new() };
    let operations = diff(&desired(plan), state, &circumstances).operations;
    match operations.as_slice() {
        [] => None,
        [Operation::SetPeer(change)] => change.endpoint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn roamed_peer_is_left_where_it_is() {
    let plan = plan_with_peer();
    let state = heard_from(&plan, roamed());
    assert_eq!(written(&plan, &state, 179, &[wanted(&plan)]), None);
    assert_eq!(written(&plan, &state, 180, &[wanted(&plan)]), None);
}

#[test]
fn roamed_peer_is_left_where_it_is_when_the_memory_is_lost() {
    let plan = plan_with_peer();
    assert_eq!(written(&plan, &heard_from(&plan, roamed()), 100, &[]), None);
}

#[test]
fn dead_session_gets_the_wanted_endpoint() {
    let plan = plan_with_peer();
    let mut state = heard_from(&plan, roamed());
    assert_eq!(written(&plan, &state, 181, &[wanted(&plan)]), Some(wanted(&plan)));
    state.wireguard.as_mut().unwrap().configuration.as_mut().unwrap().peers[0].last_handshake = None;
    assert_eq!(written(&plan, &state, 0, &[wanted(&plan)]), Some(wanted(&plan)), "never had a session");
}

#[test]
fn dead_session_at_the_wanted_endpoint_is_left_alone() {
    let plan = plan_with_peer();
    assert_eq!(written(&plan, &heard_from(&plan, wanted(&plan)), 100_000, &[]), None);
}

#[test]
fn changed_wish_is_written_at_once() {
    let plan = plan_with_peer();
    let before: SocketAddr = "192.0.2.77:51820".parse().unwrap();
    assert_eq!(written(&plan, &heard_from(&plan, roamed()), 10, &[before]), Some(wanted(&plan)));
    assert_eq!(written(&plan, &heard_from(&plan, wanted(&plan)), 10, &[before]), None, "it is there already");
}

#[test]
fn wish_that_is_withdrawn_changes_nothing() {
    let mut plan = plan_with_peer();
    let state = heard_from(&plan, roamed());
    plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().endpoint = None;
    assert_eq!(written(&plan, &state, 100_000, &[]), None);
}

#[test]
fn peer_that_dials_in_is_dialled_where_it_was_seen_when_it_is_made_anew() {
    let mut plan = plan_with_peer();
    let seen = Endpoints::from([(peer_key(), roamed())]);
    let circumstances = Circumstances {
        now: SystemTime::UNIX_EPOCH + HANDSHAKE,
        written_endpoints: &Endpoints::new(),
        seen_endpoints: &seen,
    };
    let endpoint_of_new_peer = |plan: &NodePlan| {
        let operations = diff(&desired(plan), &untouched(), &circumstances).operations;
        let made = operations.into_iter().find_map(|operation| match operation {
            Operation::SetPeer(change) => Some(change),
            _ => None,
        });
        made.unwrap().endpoint
    };
    assert_eq!(endpoint_of_new_peer(&plan), Some(wanted(&plan)), "the wanted endpoint counts first");
    plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().endpoint = None;
    assert_eq!(endpoint_of_new_peer(&plan), Some(roamed()));
}

#[test]
fn handshake_from_the_future_counts_as_fresh() {
    let plan = plan_with_peer();
    let mut state = heard_from(&plan, roamed());
    let peers = &mut state.wireguard.as_mut().unwrap().configuration.as_mut().unwrap().peers;
    peers[0].last_handshake = Some(HANDSHAKE * 2);
    assert_eq!(written(&plan, &state, 0, &[wanted(&plan)]), None);
}

/// A peer whose domain name has the address of [`roamed`] too.
fn plan_with_named_peer() -> NodePlan {
    let mut plan = plan_with_peer();
    let peer = plan.wireguard.peers.get_mut(&plans::key(1)).unwrap();
    let Host::Name(name) = "gate.example".parse::<Endpoint>().unwrap().host else { panic!("a name") };
    let addresses = vec![peer.endpoint.unwrap().ip(), roamed().ip()];
    peer.named = Some(NamedEndpoint { name, addresses });
    plan
}

#[test]
fn a_peer_that_answers_at_another_address_of_its_name_is_left_there_after_a_restart() {
    let plan = plan_with_named_peer();
    let state = heard_from(&plan, roamed());
    assert_eq!(written(&plan, &state, 100, &[roamed()]), None, "the restarted agent wants the first address again");
    assert_eq!(written(&plan, &state, 181, &[roamed()]), Some(wanted(&plan)), "the session is dead");
    let elsewhere: SocketAddr = "192.0.2.200:40000".parse().unwrap();
    let state = heard_from(&plan, elsewhere);
    assert_eq!(written(&plan, &state, 100, &[elsewhere]), Some(wanted(&plan)), "no address of the name");
}
