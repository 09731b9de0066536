use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;
use carrick_topology::model::{AgentVersion, KeyProof};
use carrick_types::SecretKey;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const LABEL: &str = "topology.kubernetes.io/region";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn metadata(annotations: &[(&str, &str)]) -> NodeMetadata {
    let owned = |(key, value): &(&str, &str)| (format!("{PREFIX}{key}"), (*value).to_owned());
    NodeMetadata {
        name: "a".parse().unwrap(),
        created: 7,
        annotations: annotations.iter().map(owned).collect(),
        labels: BTreeMap::from([(LABEL.to_owned(), "basel".to_owned())]),
    }
}

fn parse(annotations: &[(&str, &str)]) -> ParsedNode {
    parse_node(&metadata(annotations), LABEL)
}

fn strings<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

fn clean(annotations: &[(&str, &str)]) -> Node {
    let parsed = parse(annotations);
    assert_eq!(parsed.warnings, BTreeSet::new());
    parsed.node
}

/// The one warning that a value gives.
fn warning(key: &str, value: &str) -> String {
    let parsed = parse(&[(key, value)]);
    assert_eq!(parsed.warnings.len(), 1, "{key}={value}: {:?}", parsed.warnings);
    parsed.warnings.first().unwrap().to_string()
}

#[test]
fn every_reason_drains_the_node_and_an_empty_one_does_not() {
    let duty = |reason| clean(&[("drain", reason)]).duty;
    assert_eq!(["a new disk", "true", "no"].map(duty), [Duty::Draining; 3]);
    assert_eq!([duty(""), duty("  "), clean(&[]).duty], [Duty::Serving; 3]);
}

#[test]
fn a_node_without_annotations_has_its_label_only() {
    let node = clean(&[]);
    assert_eq!(node.location, Some("basel".parse().unwrap()));
    let plain = Node { location: node.location.clone(), ..Node::new("a".parse().unwrap(), 7) };
    assert_eq!(node, plain);
}

#[test]
fn everything_people_set_is_read() {
    let node = clean(&[
        ("location", "Basel, Keller"),
        ("endpoint", "gate.example:51000"),
        ("internal-addresses", " 10.0.0.7/24 ,, fd00::7/64 , 10.1.0.9"),
        ("gateway", "preferred"),
        ("relay", "never"),
        ("persistent-keepalive", "25s"),
        ("allowed-location-cidrs", "192.168.7.9/24, 2001:db8:1::/48"),
    ]);
    assert_eq!(node.location.unwrap().as_str(), "Basel, Keller");
    assert_eq!(node.endpoint.unwrap().to_string(), "gate.example:51000");
    let InternalAddresses::Forced(internal) = node.internal_addresses else { panic!("not forced") };
    assert_eq!(strings(internal), ["10.0.0.7/24", "10.1.0.9/32", "fd00::7/64"]);
    assert_eq!((node.gateway, node.relay), (Preference::Preferred, Preference::Never));
    assert_eq!(node.persistent_keepalive, Some(25));
    assert_eq!(strings(node.allowed_location_cidrs), ["192.168.7.0/24", "2001:db8:1::/48"]);
}

#[test]
fn everything_the_agent_publishes_is_read() {
    let node = clean(&[
        ("public-key", KEY),
        ("pod-cidrs", "10.244.3.0/24,fd10:0:0:3::/64"),
        ("mesh-addresses", "10.4.0.9,fdca:7272:6963:6b00::9"),
        ("advertised-endpoints", "198.51.100.7:51820,[2001:db8::7]:51820"),
        ("advertised-internal-addresses", "10.0.0.7/24"),
        ("observed-endpoints", "b=203.0.113.9:4500,c.example=[2001:db8::9]:51820"),
        ("agent", "version=0.1.0,protocol=1,settings=00ff"),
    ]);
    assert_eq!(node.public_key.unwrap().to_string(), KEY);
    assert_eq!(strings(node.pod_cidrs), ["10.244.3.0/24", "fd10:0:0:3::/64"]);
    assert_eq!(strings(node.mesh_addresses), ["10.4.0.9", "fdca:7272:6963:6b00::9"]);
    assert_eq!(strings(node.advertised_endpoints), ["198.51.100.7:51820", "[2001:db8::7]:51820"]);
    assert_eq!(node.observed_endpoints["c.example"].to_string(), "[2001:db8::9]:51820");
    let agent = node.agent.unwrap();
    assert_eq!((agent.version.as_str(), agent.protocol, agent.settings.as_str()), ("0.1.0", 1, "00ff"));
}

#[test]
fn a_proof_counts_if_the_holder_of_the_key_made_it_for_the_node_of_this_name() {
    // The key pairs of RFC 7748 §6.1.
    let private = SecretKey::from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=").unwrap();
    let (public, other) =
        ("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=");
    let made_for = |node: &str| KeyProof::new(&private, &public.parse().unwrap(), node, [7; 32]).to_string();
    let node = clean(&[("public-key", public), ("public-key-proof", &made_for("a"))]);
    assert_eq!(node.public_key_proof.unwrap().to_string(), made_for("a"));
    for (key, proof) in [(Some(public), made_for("b")), (Some(other), made_for("a")), (None, made_for("a"))] {
        let mut values = vec![("public-key-proof", proof.as_str())];
        values.extend(key.map(|key| ("public-key", key)));
        let parsed = parse_node(&metadata(&values), LABEL);
        assert_eq!(parsed.node.public_key_proof, None);
        let warnings = strings(parsed.warnings);
        assert!(warnings.len() == 1 && warnings[0].ends_with("did not sign its `public-key`"), "{warnings:?}");
    }
}

#[test]
fn a_key_without_an_effect_is_named_with_what_was_meant() {
    assert_eq!(
        warning("gatway", "never"),
        "node `a`: carrick.dev/gatway `never` has no effect: this version knows no such annotation. The nearest that it knows is `carrick.dev/gateway`"
    );
    assert!(warning("Relay", "never").ends_with("`carrick.dev/relay`"));
    let mut labelled = metadata(&[]);
    labelled.labels.insert(key::GATEWAY.to_owned(), "never".to_owned());
    labelled.labels.insert(format!("{PREFIX}team"), "blue".to_owned());
    let warnings = strings(parse_node(&labelled, LABEL).warnings);
    assert_eq!(
        warnings,
        [
            "node `a`: carrick.dev/gateway `never` has no effect: it is a label. Set an annotation of this name (`kubectl annotate node`)"
        ]
    );
    // A label that names the location has an effect.
    labelled.labels = BTreeMap::from([(key::LOCATION.to_owned(), "bern".to_owned())]);
    let parsed = parse_node(&labelled, key::LOCATION);
    assert_eq!((parsed.node.location.unwrap().as_str(), parsed.warnings.len()), ("bern", 0));
}

#[test]
fn of_many_keys_without_an_effect_the_first_few_are_named() {
    let keys: Vec<String> = (0..1000).map(|number| format!("unknown-{number}")).collect();
    let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    assert_eq!(parse(&many).warnings.len(), reader::MOST_WARNINGS_PER_LIST);
}

#[test]
fn an_empty_value_is_an_absent_key() {
    let empty = ["location", "endpoint", "internal-addresses", "gateway", "persistent-keepalive", "agent", "pod-cidrs"]
        .map(|key| (key, " "));
    assert_eq!(clean(&empty), clean(&[]));
}

#[test]
fn internal_addresses_can_be_taken_away() {
    let node = clean(&[("internal-addresses", " none "), ("advertised-internal-addresses", "10.0.0.7/24")]);
    assert_eq!(node.internal_addresses, InternalAddresses::None);
}

#[test]
fn a_bad_element_is_ignored_alone() {
    let parsed = parse(&[("pod-cidrs", "10.244.3.0/24,10.244.3.0/33,fd10::/64")]);
    assert_eq!(strings(parsed.node.pod_cidrs), ["10.244.3.0/24", "fd10::/64"]);
    assert_eq!(
        strings(parsed.warnings),
        [
            "node `a`: carrick.dev/pod-cidrs `10.244.3.0/33` cannot be parsed: write a network such as `192.168.1.0/24` or `2001:db8::/64`"
        ]
    );
}

#[test]
fn every_bad_value_is_named_with_what_would_be_right() {
    for (key, value, hint) in [
        ("location", "a\u{7}b", "printed"),
        ("endpoint", "host:0", "port"),
        ("internal-addresses", "10.0.0.0/24", "10.0.0.1/24"),
        ("internal-addresses", "10.0.0.255/24", "broadcast"),
        ("internal-addresses", "fe80::1/64", "reach"),
        ("internal-addresses", "127.0.0.1/8", "reach"),
        ("internal-addresses", "none,10.0.0.7/24", "length of its subnet"),
        ("gateway", "yes", "`preferred` or `never`"),
        ("relay", "Never", "`preferred` or `never`"),
        ("persistent-keepalive", "-1", "0 to 65535"),
        ("persistent-keepalive", "65536", "0 to 65535"),
        ("persistent-keepalive", "1m", "0 to 65535"),
        ("persistent-keepalive", "s", "0 to 65535"),
        ("allowed-location-cidrs", "printer", "192.168.1.0/24"),
        ("public-key", "c2hvcnQ=", "44 characters"),
        ("public-key-proof", "c2hvcnQ=", "88 characters"),
        ("mesh-addresses", "10.4.0.9/32", "10.4.0.7"),
        ("mesh-addresses", "10.4.0.9,10.4.0.10", "10.4.0.9 is used"),
        ("observed-endpoints", "b", "node=1.2.3.4:51820"),
        ("observed-endpoints", "B=1.2.3.4:5", "lower-case"),
        ("agent", "version=1", "protocol=NUMBER"),
        ("agent", "version=1,protocol=1,settings=a\nlevel=ERROR", "protocol=NUMBER"),
        ("agent", "version=1\u{1b}[2J,protocol=1,settings=a", "protocol=NUMBER"),
        ("agent", format!("version=1,protocol=1,settings={}", "a".repeat(65)).as_str(), "protocol=NUMBER"),
        ("advertised-internal-addresses", "255.255.255.255/32", "no host has"),
        ("advertised-internal-addresses", "240.0.0.1/24", "no host has"),
        ("advertised-internal-addresses", "0.1.2.3/24", "no host has"),
        ("advertised-internal-addresses", "::ffff:10.20.0.99/128", "no host has"),
        ("internal-addresses", "::10.20.0.99/128", "no host has"),
        ("advertised-endpoints", "240.0.0.1:51820", "no host has"),
        ("advertised-endpoints", "[::ffff:10.20.0.99]:51820", "no host has"),
        ("advertised-internal-addresses", "10.0.0.7/24,192.168.1.53/32", "10.0.0.7/24 is used"),
        ("advertised-internal-addresses", "fd00::7/64,fd01::7/64", "fd00::7/64 is used"),
        ("advertised-endpoints", "198.51.100.7:51820,198.51.100.8:51820", "198.51.100.7:51820 is used"),
        ("advertised-internal-addresses", "100.100.100.200/32", "metadata service"),
        ("allowed-location-cidrs", "169.254.169.254/32", "leaves a host or a link"),
        ("allowed-location-cidrs", "ff00::/8", "leaves a host or a link"),
        ("internal-addresses", "fd00:ec2::254/128", "metadata service"),
        ("advertised-endpoints", "gate.example:51820", "set the annotation `endpoint`"),
        ("agent", "version=1,protocol=x,settings=y", "protocol=NUMBER"),
    ] {
        let warning = warning(key, value);
        assert!(warning.starts_with(&format!("node `a`: carrick.dev/{key} `")), "{warning}");
        assert!(warning.contains(hint), "{key}={value}: {warning}");
    }
}

#[test]
fn a_value_that_is_longer_than_what_an_agent_writes_is_ignored() {
    let observed = |count: usize| (0..count).map(|n| format!("n{n:04}=192.0.2.1:51820")).collect::<Vec<_>>().join(",");
    assert!(observed(2978).len() < 65_536 && observed(2979).len() > 65_536);
    assert_eq!(clean(&[("observed-endpoints", &observed(2978))]).observed_endpoints.len(), 2978);
    let internal = vec!["10.0.0.7/24"; 60].join(",");
    for (key, value) in [("observed-endpoints", observed(2979)), ("advertised-internal-addresses", internal)] {
        let parsed = parse(&[(key, &value)]);
        assert_eq!(parsed.node, clean(&[]), "{key}");
        let warnings = strings(parsed.warnings);
        assert!(warnings.len() == 1 && warnings[0].contains("longer than what an agent writes"), "{warnings:?}");
    }
}

#[test]
fn an_unreadable_location_falls_back_to_the_label() {
    assert_eq!(parse(&[("location", "a\nb")]).node.location.unwrap().as_str(), "basel");
}

#[test]
fn an_unreadable_label_is_named() {
    let mut metadata = metadata(&[]);
    metadata.labels.insert(LABEL.to_owned(), "a\tb".to_owned());
    let parsed = parse_node(&metadata, LABEL);
    assert_eq!(parsed.node.location, None);
    assert!(parsed.warnings.first().unwrap().to_string().contains(LABEL));
}

#[test]
fn a_flood_of_garbage_makes_few_short_warnings() {
    let flood = vec!["x".repeat(500); 300].join(",");
    let parsed = parse(&[("allowed-location-cidrs", &flood), ("pod-cidrs", &flood), ("endpoint", &"y".repeat(9000))]);
    assert!(parsed.warnings.len() <= 11, "{}", parsed.warnings.len());
    assert!(parsed.warnings.iter().all(|warning| warning.to_string().chars().count() < 400));
    let distinct = (0..300).map(|number| format!("x{number}")).collect::<Vec<_>>().join(",");
    let parsed = parse(&[("allowed-location-cidrs", &distinct)]);
    assert_eq!(parsed.warnings.len(), 9);
    assert!(parsed.warnings.iter().any(|warning| warning.value == "292 more"));
}

prop_compose! {
    fn address()(v4 in any::<bool>(), bits in any::<u128>()) -> IpAddr {
        if v4 {
            IpAddr::V4(Ipv4Addr::from_bits((bits as u32 & 0x00ff_fffe) | 0x0a00_0000))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits >> 32))
        }
    }
}

prop_compose! {
    fn network()(address in address(), length in 8_u8..=32) -> ipnet::IpNet {
        ipnet::IpNet::new(address, length).unwrap().trunc()
    }
}

prop_compose! {
    fn interface_address()(address in address(), length in 8_u8..=32) -> Option<ipnet::IpNet> {
        let net = ipnet::IpNet::new(address, length).unwrap();
        value::interface_address(&net.to_string()).ok()
    }
}

prop_compose! {
    fn published()(
        key in proptest::option::of(any::<[u8; 32]>()),
        pod_cidrs in btree_set(network(), 0..4),
        mesh_address in proptest::option::of(address()),
        endpoint in proptest::option::of((address(), 1_u16..)),
        internal in proptest::option::of(interface_address()),
        observed in btree_map("[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", (address(), any::<u16>()), 0..4),
        agent in proptest::option::of(("[0-9a-z.+-]{1,12}", any::<u32>(), "[0-9a-f]{16}", btree_set(network(), 0..3))),
    ) -> Published {
        Published {
            public_key: key.and_then(|bytes| PublicKey::from_bytes(bytes).to_string().parse().ok()),
            public_key_proof: None,
            pod_cidrs,
            mesh_addresses: mesh_address.into_iter().collect(),
            advertised_endpoints: endpoint.into_iter().map(|(host, port)| Endpoint::at(host, port)).collect(),
            advertised_internal_addresses: internal.into_iter().flatten().collect(),
            observed_endpoints: observed
                .into_iter()
                .map(|(name, (host, port))| (name.parse().unwrap(), SocketAddr::new(host, port)))
                .collect(),
            agent: agent.map(|(version, protocol, settings, outside_mesh)| AgentVersion {
                version,
                protocol,
                settings,
                outside_mesh,
            }),
        }
    }
}

proptest! {
    #[test]
    fn what_is_published_is_read_back(published in published()) {
        let metadata = NodeMetadata {
            name: "a".parse().unwrap(),
            created: 0,
            annotations: published_annotations(&published),
            labels: BTreeMap::new(),
        };
        prop_assert!(metadata.annotations.keys().all(|key| key::AGENTS.contains(&key.as_str())));
        let ParsedNode { node, warnings } = parse_node(&metadata, LABEL);
        prop_assert_eq!(warnings, BTreeSet::new());
        let read = Published {
            public_key: node.public_key,
            public_key_proof: node.public_key_proof,
            pod_cidrs: node.pod_cidrs,
            mesh_addresses: node.mesh_addresses,
            advertised_endpoints: node.advertised_endpoints,
            advertised_internal_addresses: match node.internal_addresses {
                InternalAddresses::Advertised(addresses) => addresses,
                other => panic!("{other:?}"),
            },
            observed_endpoints: node.observed_endpoints,
            agent: node.agent,
        };
        prop_assert_eq!(read, published);
    }

    #[test]
    fn garbage_hurts_nothing_else(key in 0_usize..14, garbage in "\\PC{0,40}|[0-9a-f:./,=\\[\\]s-]{0,40}") {
        let whole = [
            ("location", "home"), ("endpoint", "198.51.100.7"), ("internal-addresses", "10.0.0.7/24"),
            ("gateway", "never"), ("relay", "never"), ("persistent-keepalive", "25"),
            ("allowed-location-cidrs", "10.9.0.0/16"), ("public-key", KEY), ("pod-cidrs", "10.244.3.0/24"),
            ("mesh-addresses", "10.4.0.9"), ("advertised-endpoints", "198.51.100.8"),
            ("advertised-internal-addresses", "10.0.0.8/24"), ("observed-endpoints", "b=1.2.3.4:5"),
            ("agent", "version=1,protocol=1,settings=1"),
        ];
        let mut broken = whole;
        broken[key].1 = &garbage;
        let mut without = whole.to_vec();
        without.remove(key);
        let broken = parse(&broken);
        let without = parse(&without);
        prop_assert!(without.warnings.is_empty());
        prop_assert!(broken.warnings.iter().all(|warning| warning.field.ends_with(whole[key].0)));
        // Where the garbage could not be read at all, the node is as if the key were absent.
        let unreadable_whole = !broken.warnings.is_empty() && !garbage.contains(',');
        if unreadable_whole && whole[key].0 != "internal-addresses" {
            prop_assert_eq!(broken.node, without.node);
        }
    }
}
