use std::time::Duration;

use super::*;

const KEY: &str = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

fn change(lines: &str) -> DeviceChange {
    match parse(&format!("set=1\n{lines}")).unwrap() {
        Request::Set(change) => *change,
        Request::Get => panic!("not a set"),
    }
}

fn update(lines: &str) -> PeerUpdate {
    let mut change = change(&format!("public_key={KEY}\n{lines}"));
    match change.peers.pop().unwrap() {
        PeerChange::Update(update) => update,
        PeerChange::Remove(_) => panic!("not an update"),
    }
}

#[test]
fn absent_lines_keep_everything() {
    assert_eq!(change(""), DeviceChange::default());
    let public_key = public_key(KEY).unwrap();
    assert_eq!(update(""), PeerUpdate::new(public_key));
}

#[test]
fn zeroes_clear_keys() {
    let zero = "0".repeat(64);
    let cleared = change(&format!("private_key={zero}\n"));
    assert_eq!(cleared.private_key, Setting::Clear);
    let cleared = update(&format!("preshared_key={zero}\n"));
    assert_eq!(cleared.preshared_key, Setting::Clear);
    let set = update(&format!("preshared_key={KEY}\n"));
    assert_eq!(set.preshared_key, Setting::Set(SecretKey::from_bytes(*hex::decode(KEY).unwrap())));
}

#[test]
fn peer_lines_are_understood() {
    let update = update(
        "update_only=true\nendpoint=[2001:db8::1]:51820\npersistent_keepalive_interval=25\n\
         replace_allowed_ips=true\nallowed_ip=10.0.0.0/24\nallowed_ip=-fd00::/64\nprotocol_version=1\n",
    );
    assert_eq!(update.absent_peer, AbsentPeer::Skip);
    assert_eq!(update.endpoint, Some("[2001:db8::1]:51820".parse().unwrap()));
    assert_eq!(update.persistent_keepalive, Some(25));
    assert_eq!(update.present_allowed_ips, PresentAllowedIps::Drop);
    assert_eq!(
        update.allowed_ips,
        [AllowedIpChange::Add("10.0.0.0/24".parse().unwrap()), AllowedIpChange::Remove("fd00::/64".parse().unwrap()),]
    );
}

#[test]
fn each_public_key_begins_another_peer() {
    let other = "1".repeat(64);
    let change = change(&format!(
        "listen_port=1\nfwmark=4096\nreplace_peers=true\npublic_key={KEY}\nremove=true\npublic_key={other}\n"
    ));
    assert_eq!(change.listen_port, Some(1));
    assert_eq!(change.firewall_mark, Some(4096));
    assert_eq!(change.unnamed_peers, UnnamedPeers::Remove);
    let [removal, update] = [KEY, &other].map(|key| public_key(key).unwrap());
    assert_eq!(change.peers, [PeerChange::Remove(removal), PeerChange::Update(PeerUpdate::new(update)),]);
}

#[test]
fn errors_name_the_line_and_never_the_value() {
    let refused = |request: &str| parse(request).unwrap_err();
    assert_eq!(refused("get=2"), ProtocolError::UnknownOperation);
    assert_eq!(refused("set=1\nlisten_port"), ProtocolError::NotKeyValue { line: 2 });
    let error = refused("set=1\nlisten_port=1\nprivate_key=secret");
    assert_eq!(error.to_string(), "line 3: the value of private_key is not valid");
    // A key of the device is none of a peer.
    let error = refused(&format!("set=1\npublic_key={KEY}\nlisten_port=1"));
    assert_eq!(error, ProtocolError::UnknownKey { line: 3, key: "listen_port".to_owned() });
}

#[test]
fn a_status_is_written_as_wg_reads_it() {
    let secret = SecretKey::from_bytes(*hex::decode(KEY).unwrap());
    let status = DeviceStatus {
        private_key: Some(secret.clone()),
        listen_port: 51820,
        firewall_mark: 4096,
        peers: vec![PeerStatus {
            public_key: public_key(KEY).unwrap(),
            preshared_key: Some(secret),
            endpoint: Some("192.0.2.1:51820".parse().unwrap()),
            persistent_keepalive: 25,
            allowed_ips: vec!["10.0.0.0/24".parse().unwrap()],
            last_handshake: Some(UNIX_EPOCH + Duration::new(17, 5)),
            received_bytes: 3,
            sent_bytes: 4,
        }],
    };
    let expected = format!(
        "private_key={KEY}\nlisten_port=51820\nfwmark=4096\npublic_key={KEY}\npreshared_key={KEY}\n\
         protocol_version=1\nendpoint=192.0.2.1:51820\nlast_handshake_time_sec=17\n\
         last_handshake_time_nsec=5\ntx_bytes=4\nrx_bytes=3\npersistent_keepalive_interval=25\n\
         allowed_ip=10.0.0.0/24\n"
    );
    assert_eq!(*format_status(&status), expected);
}
