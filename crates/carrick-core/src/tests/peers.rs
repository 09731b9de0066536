//! Which preshared keys of Peers are read, and when the statuses of Peers are written.

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_topology::model::SecretReference;
use carrick_topology::{Cluster, Peer, PeerName};

use super::background::observed;
use super::fixture::{Fixture, key, published_cluster};
use crate::{ApiState, ApplyOutcome, Effect, Event, PeerConnection, Session, WriteOutcome};

const SHORTLY: Duration = Duration::from_millis(50);

fn statuses(effects: &[Effect]) -> Vec<(String, PeerConnection)> {
    let status = |effect: &Effect| match effect {
        Effect::WritePeerStatus { peer, connection } => Some((peer.to_string(), *connection)),
        _ => None,
    };
    effects.iter().filter_map(status).collect()
}

fn with_peers(names: &[&str]) -> Cluster {
    let mut cluster = published_cluster(&["a", "b"]);
    for (number, text) in (100_u8..).zip(names) {
        cluster.insert_peer(Peer {
            name: text.parse().unwrap(),
            created: 0,
            public_key: key(number),
            allowed_ips: [format!("192.168.{number}.0/24").parse().unwrap()].into(),
            endpoint: None,
            persistent_keepalive: None,
            preshared_key: None,
            location: Some("a".parse().unwrap()),
        });
    }
    cluster
}

fn serving(peers: &[&str]) -> Fixture {
    let fixture = Fixture::steady_with(&with_peers(peers));
    assert_eq!(fixture.core.plan().unwrap().wireguard.peers.len(), 1 + peers.len());
    fixture
}

fn seen(fixture: &mut Fixture, sessions: &[(u8, Session)]) -> Vec<(String, PeerConnection)> {
    let observations = sessions.iter().map(|(number, session)| observed(*number, "203.0.113.7:9000", *session));
    fixture.event(Event::Peers(observations.collect()));
    statuses(&fixture.effects())
}

fn status(name: &str, connection: PeerConnection) -> (String, PeerConnection) {
    (name.to_owned(), connection)
}

#[test]
fn a_peers_status_is_written_when_it_connects_and_disconnects_and_not_in_between() {
    let mut fixture = serving(&["laptop"]);
    let laptop: PeerName = "laptop".parse().unwrap();
    for (session, expected) in [
        (Session::None, vec![status("laptop", PeerConnection::Disconnected)]),
        (Session::None, vec![]),
        (Session::Live, vec![status("laptop", PeerConnection::Connected)]),
        (Session::Live, vec![]),
        (Session::Expired, vec![status("laptop", PeerConnection::Disconnected)]),
    ] {
        let written = seen(&mut fixture, &[(100, session)]);
        assert_eq!(written, expected, "{session:?}");
        for _ in written {
            fixture.event(Event::PeerStatusWritten(laptop.clone(), WriteOutcome::Complete));
        }
    }
}

#[test]
fn a_peers_status_that_could_not_be_written_is_written_later() {
    let mut fixture = serving(&["laptop", "office"]);
    let laptop: PeerName = "laptop".parse().unwrap();
    let both = seen(&mut fixture, &[(100, Session::Live), (101, Session::Live)]);
    assert_eq!(both.len(), 2);
    fixture.event(Event::PeerStatusWritten("office".parse().unwrap(), WriteOutcome::Complete));
    fixture.event(Event::PeerStatusWritten(laptop.clone(), WriteOutcome::Failed));
    assert_eq!(statuses(&fixture.effects()), []);
    let again = statuses(&fixture.effects_within(Duration::from_secs(2)));
    assert_eq!(again, [status("laptop", PeerConnection::Connected)]);
    fixture.event(Event::PeerStatusWritten(laptop, WriteOutcome::Complete));
    assert_eq!(statuses(&fixture.effects_within(Duration::from_secs(300))), []);
}

#[test]
fn peers_statuses_wait_for_the_api() {
    let mut fixture = serving(&["laptop"]);
    fixture.event(Event::Api(ApiState::Lost));
    assert_eq!(seen(&mut fixture, &[(100, Session::Live)]), []);
    assert_eq!(statuses(&fixture.effects_within(Duration::from_secs(60))), []);
    fixture.event(Event::Api(ApiState::Synced));
    assert_eq!(statuses(&fixture.effects()), [status("laptop", PeerConnection::Connected)]);
}

#[test]
fn a_peer_that_this_node_serves_again_gets_its_status_again() {
    let mut fixture = serving(&["laptop"]);
    let laptop: PeerName = "laptop".parse().unwrap();
    seen(&mut fixture, &[(100, Session::Live)]);
    // Another node takes over while the write is in progress, and writes the status itself.
    fixture.show(&published_cluster(&["a", "b"]));
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert_eq!(seen(&mut fixture, &[(2, Session::Live)]), []);
    fixture.show(&with_peers(&["laptop"]));
    fixture.wait(SHORTLY);
    assert_eq!(seen(&mut fixture, &[(100, Session::Live)]), [], "one write at a time");
    fixture.event(Event::PeerStatusWritten(laptop, WriteOutcome::Complete));
    assert_eq!(statuses(&fixture.effects()), [status("laptop", PeerConnection::Connected)]);
}

#[test]
fn the_preshared_keys_of_the_plan_are_read() {
    let mut fixture = Fixture::steady();
    let reference = SecretReference { name: "laptop".to_owned(), key: "psk".to_owned() };
    let mut shown = with_peers(&["laptop"]);
    shown.peers.get_mut("laptop").unwrap().preshared_key = Some(reference.clone());
    fixture.show(&shown);
    let effects = fixture.effects_within(SHORTLY);
    assert!(effects.contains(&Effect::ReadPresharedKeys([reference].into())), "{effects:?}");
    fixture.show(&published_cluster(&["a", "b"]));
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert!(fixture.effects_within(SHORTLY).contains(&Effect::ReadPresharedKeys(BTreeSet::new())));
}
