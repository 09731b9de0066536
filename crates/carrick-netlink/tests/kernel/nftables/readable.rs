//! Every word of the vocabulary comes back from the kernel as it was sent, and `nft` can print it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::nftables::{
    AddressMatch, Batch, Chain, ChainKind, ConntrackState, Direction, Elements, Expression, Field, Header, Hook,
    InterfaceMatch, Key, Nftables, Operator, Origin, Register, Rule, Set, Table, TableFamily, Target, Value, Verdict,
    priority,
};

use super::nft;
use crate::namespace::fresh;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn filter_rules() -> Vec<Rule> {
    vec![
        Rule::new().protocol(17).mark(0x1000, 0x1000).accept().comment("outer packets"),
        Rule::new()
            .version(Family::V4)
            .destination(Family::V4, AddressMatch::In("networks4"))
            .output_interface(InterfaceMatch::NotIn("mesh_devices"))
            .counter()
            .drop(),
        Rule::new()
            .version(Family::V6)
            .destination(Family::V6, AddressMatch::NotIn("networks6"))
            .output_interface(InterfaceMatch::StartsNotWith("crk"))
            .drop(),
        Rule::new().origin(Origin::Local).output_interface(InterfaceMatch::Is("carrick0")).accept(),
        Rule::new().connection_state(&[ConntrackState::Established, ConntrackState::Related]).verdict(Verdict::Return),
        Rule::new()
            .protocol(17)
            .destination_port(51822)
            .version(Family::V4)
            .source(Family::V4, AddressMatch::IsNot(address("192.0.2.1")))
            .drop(),
        Rule::new().opens_tcp().input_interface(InterfaceMatch::IsNot("carrick0")).clamp_segment_size(),
        Rule::new().set_mark(0x2000),
        Rule::new().verdict(Verdict::Jump("further".to_owned())),
        Rule::new()
            .with([Expression::AddressType { direction: Direction::Source, destination: Register::FIRST }])
            .with([Expression::Compare {
                source: Register::FIRST,
                operator: Operator::Equal,
                value: 2u32.to_ne_bytes().to_vec(),
            }])
            .verdict(Verdict::Goto("further".to_owned())),
    ]
}

fn translation_rules() -> Vec<Rule> {
    vec![
        Rule::new().origin(Origin::Received).output_interface(InterfaceMatch::StartsWith("eth")).masquerade(),
        Rule::new()
            .version(Family::V4)
            .source(Family::V4, AddressMatch::Is(address("192.0.2.1")))
            .source_nat(address("10.4.0.1")),
        Rule::new().version(Family::V6).address_pair_in(Family::V6, "pairs").masquerade(),
        Rule::new().version(Family::V6).source_nat(address("fdca::1")),
        Rule::new().version(Family::V4).masquerade_as(address("192.0.2.9")),
    ]
}

fn everything() -> Table {
    let host_ports = Set::map(
        [Field::Protocol, Field::Port],
        [Field::Ipv4Address, Field::Port],
        [(Key::new().protocol(6).port(80), Key::new().ipv4("10.1.0.2".parse().unwrap()).port(8080))],
    );
    let host_ports6 = Set::map(
        [Field::Protocol, Field::Port],
        [Field::Ipv6Address, Field::Port],
        [(Key::new().protocol(17).port(53), Key::new().ipv6("fd00::2".parse().unwrap()).port(5353))],
    );
    let bound_ports = Set::map(
        [Field::Ipv4Address, Field::Protocol, Field::Port],
        [Field::Ipv4Address, Field::Port],
        [(
            Key::new().ipv4("192.0.2.1".parse().unwrap()).protocol(6).port(80),
            Key::new().ipv4("10.1.0.2".parse().unwrap()).port(8080),
        )],
    );
    let pairs = Set {
        key: vec![Field::Ipv6Address, Field::Ipv6Address],
        target: Target::Nothing,
        elements: Elements::Keys(BTreeMap::from([(
            Key::new().ipv6("fd00::2".parse().unwrap()).ipv6("fd00::3".parse().unwrap()),
            Value::Nothing,
        )])),
    };
    let by_port = Set::verdict_map(
        [Field::Port],
        [(Key::new().port(22), Verdict::Accept), (Key::new().port(23), Verdict::Jump("further".to_owned()))],
    );
    Table::new(TableFamily::Inet, "everything")
        .with_set("networks4", Set::ipv4_networks(["10.1.0.0/16", "10.3.0.0/24"].map(|net| net.parse().unwrap())))
        .with_set("networks6", Set::ipv6_networks(["fd00::/64"].map(|net| net.parse().unwrap())))
        .with_set("mesh_devices", Set::interface_names(["carrick0", "carrick-vx"]))
        .with_set("host_ports", host_ports)
        .with_set("host_ports6", host_ports6)
        .with_set("bound_ports", bound_ports)
        .with_set("pairs", pairs)
        .with_set("by_port", by_port)
        .with_chain("further", Chain::regular().with_rules([Rule::new().counter()]))
        .with_chain(
            "filter",
            Chain::at(Hook::Postrouting, ChainKind::Filter, priority::SOURCE_NAT - 1).with_rules(filter_rules()),
        )
        .with_chain(
            "translate",
            Chain::at(Hook::Postrouting, ChainKind::Nat, priority::SOURCE_NAT).with_rules(translation_rules()),
        )
        .with_chain(
            "sources",
            Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules([Rule::new()
                .input_interface(InterfaceMatch::StartsWith("crk"))
                .reverse_path_missing()
                .drop()]),
        )
        .with_chain(
            "ports",
            Chain::at(Hook::Prerouting, ChainKind::Nat, priority::DESTINATION_NAT).with_rules([
                Rule::new()
                    .version(Family::V4)
                    .destination_is_local()
                    .destination_nat_by_address(Family::V4, "bound_ports"),
                Rule::new().version(Family::V4).destination_nat_by_port(Family::V4, "host_ports"),
                Rule::new().version(Family::V6).destination_nat_by_port(Family::V6, "host_ports6"),
            ]),
        )
        .with_chain(
            "by_port",
            Chain::at(Hook::Forward, ChainKind::Filter, priority::MANGLE).with_rules([
                Rule::new().protocol(6).with([
                    Expression::Payload { base: Header::Transport, offset: 2, length: 2, destination: Register::FIRST },
                    Expression::VerdictLookup { map: "by_port".to_owned(), source: Register::FIRST },
                ]),
                Rule::new().destination_was_translated().accept(),
            ]),
        )
}

#[test]
fn everything_comes_back_as_it_was_sent() {
    fresh(|| {
        let wanted = everything();
        let mut nftables = Nftables::open().unwrap();
        nftables.commit(Batch::new().replace_table(&wanted), None).unwrap();
        let present = nftables.table(&wanted.table_name()).unwrap();
        assert_eq!(present.as_ref(), Some(&wanted));
        assert!(wanted.matches(present.as_ref()));
    });
}

#[test]
fn nft_prints_it_in_its_own_words() {
    fresh(|| {
        let mut nftables = Nftables::open().unwrap();
        nftables.commit(Batch::new().replace_table(&everything()), None).unwrap();
        let printed = nft(&["list", "ruleset"]);
        for line in [
            "elements = { 10.1.0.0/16, 10.3.0.0/24 }",
            "elements = { fd00::/64 }",
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "elements = { tcp . 80 : 10.1.0.2 . 8080 }",
            "elements = { udp . 53 : fd00::2 . 5353 }",
            "elements = { 22 : accept, 23 : jump further }",
            "type filter hook postrouting priority srcnat - 1; policy accept;",
            "meta l4proto udp meta mark & 0x00001000 == 0x00001000 accept comment \"outer packets\"",
            "ip daddr @networks4 oifname != @mesh_devices counter packets 0 bytes 0 drop",
            "ip6 daddr != @networks6 oifname != \"crk*\" drop",
            "iif 0 oifname \"carrick0\" accept",
            "ct state established,related return",
            "udp dport 51822 ip saddr != 192.0.2.1 drop",
            "tcp flags syn / syn,rst iifname != \"carrick0\" tcp option maxseg size set rt mtu",
            "meta mark set 0x00002000",
            "jump further",
            "fib saddr type local goto further",
            "iif != 0 oifname \"eth*\" masquerade fully-random",
            "ip saddr 192.0.2.1 snat ip to 10.4.0.1",
            "snat ip6 to fdca::1",
            "type filter hook prerouting priority raw; policy accept;",
            "iifname \"crk*\" fib saddr . iif oif missing drop",
            "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @bound_ports",
            "elements = { 192.0.2.1 . tcp . 80 : 10.1.0.2 . 8080 }",
            "ip6 saddr . ip6 daddr @pairs masquerade fully-random",
            "dnat ip to meta l4proto . th dport map @host_ports",
            "dnat ip6 to meta l4proto . th dport map @host_ports6",
            "tcp dport vmap @by_port",
            "ct status dnat accept",
        ] {
            assert!(printed.contains(line), "no {line:?} in\n{printed}");
        }
        assert!(printed.contains("\"carrick0\",") && printed.contains("\"carrick-vx\" }"), "{printed}");
    });
}

#[test]
fn what_nft_printed_can_be_loaded_again_and_is_the_same() {
    fresh(|| {
        let wanted = everything();
        let mut nftables = Nftables::open().unwrap();
        nftables.commit(Batch::new().replace_table(&wanted), None).unwrap();
        let printed = nft(&["list", "ruleset"]);
        nft(&["flush", "ruleset"]);
        assert_eq!(nftables.table(&wanted.table_name()).unwrap(), None);
        nft(&[&printed]);
        let present = nftables.table(&wanted.table_name()).unwrap();
        let present = present.expect("nft loaded the table");
        assert_eq!(present.sets, wanted.sets, "nft makes the same sets of its own words");
        assert_eq!(present.chains.keys().collect::<Vec<_>>(), wanted.chains.keys().collect::<Vec<_>>());
    });
}

#[test]
fn rules_outside_the_vocabulary_equal_nothing() {
    fresh(|| {
        nft(&["add", "table", "ip", "other"]);
        nft(&["add", "chain", "ip", "other", "c", "{ type filter hook forward priority 0; }"]);
        nft(&["add", "rule", "ip", "other", "c", "limit rate 5/second accept"]);
        nft(&["add", "rule", "ip", "other", "c", "ip ttl 3 log prefix \"x\""]);
        nft(&["add", "rule", "ip", "other", "c", "reject"]);
        let mut nftables = Nftables::open().unwrap();
        let chains = nftables.base_chains(Hook::Forward).unwrap();
        assert_eq!(chains.len(), 1);
        let rules = nftables.rules(&chains[0].table, &chains[0].name).unwrap();
        assert_eq!(
            rules[0].rule.expressions,
            [Expression::Foreign("limit".to_owned()), Expression::Verdict(Verdict::Accept)]
        );
        assert_eq!(rules[1].rule.expressions.last(), Some(&Expression::Foreign("log".to_owned())));
        assert_eq!(rules[2].rule.expressions, [Expression::Reject]);
        assert!(nftables.rules(&chains[0].table, "absent").unwrap().is_empty());
    });
}
