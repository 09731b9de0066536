//! Sets: large ones, and changed ones.

use carrick_netlink::nftables::{Batch, Difference, Nftables, Set, Table, TableFamily};
use ipnet::{Ipv4Net, Ipv6Net};

use super::nft;
use crate::namespace::fresh;

/// A small generator of numbers that are the same in every run (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn networks4(numbers: &mut Numbers, count: u64) -> Vec<Ipv4Net> {
    (0..count)
        .map(|_| {
            let address = u32::try_from(numbers.below(1 << 12)).unwrap() << 20;
            let length = u8::try_from(8 + numbers.below(17)).unwrap();
            Ipv4Net::new(address.into(), length).unwrap().trunc()
        })
        .collect()
}

fn table(networks4: Vec<Ipv4Net>, networks6: Vec<Ipv6Net>) -> Table {
    Table::new(TableFamily::Inet, "carrick")
        .with_set("v4", Set::ipv4_networks(networks4))
        .with_set("v6", Set::ipv6_networks(networks6))
}

/// Makes the table so, and reads it back.
fn settle(nftables: &mut Nftables, wanted: &Table) -> Difference {
    let (generation, present) = nftables.snapshot(|nftables| nftables.table(&wanted.table_name())).unwrap();
    let difference = wanted.difference_from(present.as_ref());
    let batch = Batch::new().resolve(wanted, &difference);
    nftables.commit(batch, Some(generation)).unwrap();
    let present = nftables.table(&wanted.table_name()).unwrap();
    assert_eq!(wanted.difference_from(present.as_ref()), Difference::None);
    difference
}

#[test]
fn six_thousand_networks_go_in_and_come_back() {
    fresh(|| {
        let sparse4 = |index: u32| Ipv4Net::new((0x0a00_0000 + index * 512).into(), 24).unwrap();
        let sparse6 = |index: u128| Ipv6Net::new(((0xfd00 << 112) + (index << 65)).into(), 64).unwrap();
        let wanted = table((0..6000).map(sparse4).collect(), (0..6000).map(sparse6).collect());
        let mut nftables = Nftables::open().unwrap();
        assert_eq!(settle(&mut nftables, &wanted), Difference::Structure);
        assert_eq!(wanted.sets["v4"].elements.len(), 6000);
        let printed = nft(&["list", "set", "inet", "carrick", "v6"]);
        assert_eq!(printed.matches("/64").count(), 6000);
    });
}

#[test]
fn adjacent_and_overlapping_networks_settle_at_once() {
    fresh(|| {
        let wanted = table(
            ["10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16", "0.0.0.0/8", "255.255.255.0/24"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
            ["::/1", "8000::/1"].map(|net| net.parse().unwrap()).to_vec(),
        );
        settle(&mut Nftables::open().unwrap(), &wanted);
        let printed = nft(&["list", "table", "inet", "carrick"]);
        assert!(printed.contains("0.0.0.0/8, 10.0.0.0/16"), "{printed}");
        assert!(printed.contains("255.255.255.0/24"), "{printed}");
        assert!(printed.contains("::/0"), "{printed}");
    });
}

#[test]
fn every_change_of_elements_settles_without_replacing_the_table() {
    fresh(|| {
        let mut numbers = Numbers(7);
        let mut nftables = Nftables::open().unwrap();
        settle(&mut nftables, &table(vec![], vec![]));
        let handles = || nft(&["-a", "list", "tables"]);
        let handle = handles();
        for _ in 0..200 {
            let count = numbers.below(40);
            let networks = networks4(&mut numbers, count);
            let mapped = networks
                .iter()
                .map(|net| {
                    let address = u128::from(u32::from(net.network())) << 96;
                    Ipv6Net::new(address.into(), net.prefix_len()).unwrap()
                })
                .collect();
            let difference = settle(&mut nftables, &table(networks, mapped));
            assert_ne!(difference, Difference::Structure);
        }
        assert_eq!(handles(), handle, "it is still the same table");
    });
}
