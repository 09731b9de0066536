//! Which address of a domain name is dialled.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::model::DnsName;
use carrick_topology::{Cluster, Endpoint, Host};

use super::fixture::{Fixture, key, published_cluster};
use crate::{Effect, Event, PeerObservation, Session};

const ADDRESSES: [&str; 3] = ["198.51.100.2", "198.51.100.77", "203.0.113.9"];

fn dns_name() -> DnsName {
    match "gate.example".parse::<Endpoint>().unwrap().host {
        Host::Name(name) => name,
        Host::Address(address) => panic!("{address} is no name"),
    }
}

fn resolution(addresses: &[&str]) -> Event {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Event::Names([(dns_name(), addresses)].into())
}

/// A core that dials `b` by a name with these addresses.
fn dialling(addresses: &[&str]) -> Fixture {
    let mut cluster: Cluster = published_cluster(&["a", "b"]);
    cluster.nodes.get_mut("b").unwrap().endpoint = Some("gate.example".parse().unwrap());
    let mut fixture = Fixture::steady_with(&cluster);
    fixture.event(resolution(addresses));
    settle(&mut fixture);
    fixture
}

fn settle(fixture: &mut Fixture) {
    for effect in fixture.effects_within(Duration::from_millis(100)) {
        fixture.succeed(effect);
    }
}

fn dialled(fixture: &Fixture) -> IpAddr {
    fixture.core.plan().unwrap().wireguard.peers[&key(2)].endpoint.unwrap().ip()
}

fn see(fixture: &mut Fixture, session: Session, at: &str) {
    let seen = PeerObservation { endpoint: Some(format!("{at}:51820").parse().unwrap()), session };
    fixture.event(Event::Peers([(key(2), seen)].into()));
    settle(fixture);
}

/// The addresses that are dialled one after the other in this time without a session, each with the seconds until the next one.
fn tried(fixture: &mut Fixture, seconds: u64) -> Vec<(String, u64)> {
    let mut tried: Vec<(String, u64)> = Vec::new();
    for _ in 0..seconds {
        let address = dialled(fixture).to_string();
        match tried.last_mut() {
            Some((last, seconds)) if *last == address => *seconds += 1,
            _ => tried.push((address.clone(), 1)),
        }
        see(fixture, Session::None, &address);
        for effect in fixture.effects_within(Duration::from_millis(900)) {
            fixture.succeed(effect);
        }
    }
    tried
}

#[test]
fn each_address_is_dialled_until_one_answers_which_is_kept() {
    let mut fixture = dialling(&ADDRESSES);
    assert_eq!(dialled(&fixture).to_string(), ADDRESSES[0]);
    let first = tried(&mut fixture, 12);
    let addresses: Vec<&str> = first.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!(addresses, ADDRESSES[..2]);
    assert!((7..=10).contains(&first[0].1), "{first:?}");

    see(&mut fixture, Session::Live, ADDRESSES[1]);
    for session in [Session::Live, Session::Live] {
        fixture.wait(Duration::from_secs(600));
        see(&mut fixture, session, ADDRESSES[1]);
        assert_eq!(dialled(&fixture).to_string(), ADDRESSES[1]);
    }
    see(&mut fixture, Session::Expired, ADDRESSES[1]);
    let again: Vec<String> = tried(&mut fixture, 12).into_iter().map(|(address, _)| address).collect();
    assert_eq!(again, ADDRESSES[1..], "the search goes on behind the one that answered last");
}

#[test]
fn rounds_without_an_answer_become_rarer() {
    let mut fixture = dialling(&ADDRESSES[..2]);
    let waits: Vec<u64> = tried(&mut fixture, 3600).into_iter().map(|(_, seconds)| seconds).collect();
    assert!(waits.len() < 40, "{waits:?}");
    assert!(waits[1..waits.len() - 1].is_sorted(), "{waits:?}");
    assert!(waits.iter().all(|seconds| *seconds <= 310), "{waits:?}");
}

#[test]
fn an_address_of_the_name_from_which_the_peer_answers_is_kept() {
    let mut fixture = dialling(&ADDRESSES);
    see(&mut fixture, Session::Live, ADDRESSES[2]);
    assert_eq!(dialled(&fixture).to_string(), ADDRESSES[2]);
    see(&mut fixture, Session::Live, "192.0.2.200");
    assert_eq!(dialled(&fixture).to_string(), ADDRESSES[2], "no address of the name");
    fixture.event(resolution(&ADDRESSES[..2]));
    settle(&mut fixture);
    assert_eq!(dialled(&fixture).to_string(), ADDRESSES[0], "the name does not have it any more");
}

#[test]
fn a_name_with_one_address_changes_nothing() {
    let mut fixture = dialling(&ADDRESSES[..1]);
    fixture.effects();
    for _ in 0..60 {
        see(&mut fixture, Session::None, ADDRESSES[0]);
        let effects = fixture.effects_within(Duration::from_secs(1));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Warn(_))), "{effects:?}");
    }
    assert_eq!(dialled(&fixture).to_string(), ADDRESSES[0]);
    let chosen: &BTreeMap<DnsName, IpAddr> = &fixture.core.settings().local.chosen_addresses;
    assert!(chosen.is_empty(), "{chosen:?}");
}
