//! Transactions for which the kernel has to load modules: it lets others in meanwhile, and starts over.

use std::thread;

use carrick_netlink::nftables::{
    Batch, Chain, ChainKind, Hook, Nftables, Rule, Table, TableFamily, is_outdated, priority,
};

use crate::namespace::fresh;

/// Of the modules that the table needs, the one that all others depend on, so that it comes first.
const FIRST_MODULE: &str = "nft_fib";

fn is_loaded(module: &str) -> bool {
    let modules = std::fs::read_to_string("/proc/modules").unwrap();
    modules.lines().any(|line| line.split(' ').next() == Some(module))
}

fn table(name: &str, rules: Vec<Rule>) -> Table {
    Table::new(TableFamily::Inet, name)
        .with_chain("sources", Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(rules))
}

#[test]
#[ignore = "needs a freshly booted kernel that has nft_fib as a module: scripts/test-vm.sh"]
fn a_change_while_a_module_is_loaded_is_noticed() {
    fresh(|| {
        assert!(!is_loaded(FIRST_MODULE), "{FIRST_MODULE} is loaded already");
        let wanted = table("carrick", vec![Rule::new().counter(), Rule::new().reverse_path_missing().drop()]);
        let mut nftables = Nftables::open().unwrap();
        let generation = nftables.generation().unwrap();
        let error = thread::scope(|scope| {
            let mut intruder = Nftables::open().unwrap();
            scope.spawn(move || {
                while !is_loaded(FIRST_MODULE) {
                    thread::yield_now();
                }
                intruder.commit(Batch::new().replace_table(&table("intruder", Vec::new())), None).unwrap();
            });
            nftables.commit(Batch::new().replace_table(&wanted), Some(generation)).unwrap_err()
        });
        assert!(is_outdated(&error), "{error}");
        assert_eq!(nftables.table(&wanted.table_name()).unwrap(), None);
    });
}
