//! All or nothing, and nothing without need.

use carrick_netlink::nftables::{
    Batch, Chain, ChainKind, Difference, Hook, Nftables, Rule, Set, Table, TableFamily, TableName, is_outdated,
    priority,
};

use super::nft;
use crate::namespace::fresh;

fn table(networks: &[&str], rules: Vec<Rule>) -> Table {
    Table::new(TableFamily::Inet, "carrick")
        .with_set("networks", Set::ipv4_networks(networks.iter().map(|net| net.parse().unwrap())))
        .with_chain("forward", Chain::at(Hook::Forward, ChainKind::Filter, priority::FILTER).with_rules(rules))
}

fn replace(nftables: &mut Nftables, table: &Table) {
    nftables.commit(Batch::new().replace_table(table), None).unwrap();
}

#[test]
fn a_bad_rule_leaves_the_old_table() {
    fresh(|| {
        let good = table(&["10.0.0.0/8"], vec![Rule::new().counter().accept()]);
        let mut nftables = Nftables::open().unwrap();
        replace(&mut nftables, &good);
        let before = nftables.generation().unwrap();

        let missing_set = carrick_netlink::nftables::InterfaceMatch::In("absent");
        let bad = table(
            &["172.16.0.0/12"],
            vec![Rule::new().counter(), Rule::new().input_interface(missing_set).drop().comment("the bad one")],
        );
        let error = nftables.commit(Batch::new().replace_table(&bad), None).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert!(
            error.to_string().contains("\"the bad one\" in inet carrick forward"),
            "the error names the rule: {error}"
        );
        let (generation, present) = nftables.snapshot(|nftables| nftables.table(&good.table_name())).unwrap();
        assert!(good.matches(present.as_ref()), "{present:?}");
        assert_eq!(generation, before);
    });
}

#[test]
fn a_change_in_between_is_noticed() {
    fresh(|| {
        let wanted = table(&[], vec![]);
        let mut nftables = Nftables::open().unwrap();
        let (generation, present) = nftables.snapshot(|nftables| nftables.table(&wanted.table_name())).unwrap();
        assert_eq!(present, None);
        nft(&["add", "table", "ip", "intruder"]);

        let batch = Batch::new().replace_table(&wanted);
        let error = nftables.commit(batch.clone(), Some(generation)).unwrap_err();
        assert!(is_outdated(&error), "{error}");
        assert_eq!(nftables.table(&wanted.table_name()).unwrap(), None);

        let generation = nftables.generation().unwrap();
        nftables.commit(batch, Some(generation)).unwrap();
        assert_eq!(nftables.generation().unwrap(), generation.next());
    });
}

#[test]
fn counts_do_not_make_a_difference_and_tampering_does() {
    fresh(|| {
        let wanted = table(&["10.0.0.0/8"], vec![Rule::new().counter().accept().comment("all")]);
        let name = wanted.table_name();
        let mut nftables = Nftables::open().unwrap();
        replace(&mut nftables, &wanted);
        let written = nftables.writes();
        let difference = |nftables: &mut Nftables| {
            let present = nftables.table(&name).unwrap();
            wanted.difference_from(present.as_ref())
        };
        assert_eq!(difference(&mut nftables), Difference::None);
        nftables.commit(Batch::new().resolve(&wanted, &Difference::None), None).unwrap();
        assert_eq!(nftables.writes(), written, "nothing to do, nothing sent");

        nft(&["add", "rule", "inet", "carrick", "forward", "drop"]);
        assert_eq!(difference(&mut nftables), Difference::Structure);
        replace(&mut nftables, &wanted);
        assert_eq!(difference(&mut nftables), Difference::None);

        nft(&["add", "set", "inet", "carrick", "more", "{ type mark; }"]);
        assert_eq!(difference(&mut nftables), Difference::Structure);
        replace(&mut nftables, &wanted);

        nft(&["flush", "ruleset"]);
        assert_eq!(difference(&mut nftables), Difference::Structure);
    });
}

#[test]
fn removal_is_idempotent_and_spares_other_tables() {
    fresh(|| {
        nft(&["add", "table", "ip", "carrick"]);
        let mut nftables = Nftables::open().unwrap();
        replace(&mut nftables, &table(&[], vec![]));
        for _ in 0..2 {
            let removal = Batch::new().remove_table(&TableName::new(TableFamily::Inet, "carrick"));
            nftables.commit(removal, None).unwrap();
            assert_eq!(nft(&["list", "tables"]), "table ip carrick\n");
        }
    });
}

#[test]
fn single_rules_come_and_go() {
    fresh(|| {
        let wanted = table(&[], vec![Rule::new().counter().accept()]);
        let name = wanted.table_name();
        let mut nftables = Nftables::open().unwrap();
        replace(&mut nftables, &wanted);
        let first = Rule::new().counter().accept().comment("first");
        let last = Rule::new().drop().comment("last");
        let batch = Batch::new().append_rule(&name, "forward", &last).insert_rule(&name, "forward", &first);
        nftables.commit(batch, None).unwrap();
        let rules = nftables.rules(&name, "forward").unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].rule, first);
        assert_eq!(rules[2].rule, last);

        let batch =
            Batch::new().delete_rule(&name, "forward", rules[0].handle).delete_rule(&name, "forward", rules[2].handle);
        nftables.commit(batch, None).unwrap();
        let present = nftables.table(&name).unwrap();
        assert!(wanted.matches(present.as_ref()));
    });
}
