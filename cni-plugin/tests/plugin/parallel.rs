use std::collections::BTreeSet;

use crate::call::{Call, Reply};
use crate::node::{DUAL_STACK, Pod, on_node};

const PODS: usize = 100;

#[test]
fn parallel_adds_have_distinct_addresses_that_work() {
    on_node(&DUAL_STACK, |node| {
        let pods: Vec<Pod> = (0..PODS).map(|_| Pod::new()).collect();
        let in_parallel = |command| -> Vec<Reply> {
            let calls =
                pods.iter().zip(0..).map(|(pod, number)| Call::new(command, node, pod, &format!("pod{number}")));
            let children: Vec<_> = calls.map(|call| (call.spawn(), call)).collect();
            let fed: Vec<_> = children
                .into_iter()
                .map(|(mut child, call)| {
                    call.feed(&mut child);
                    child
                })
                .collect();
            fed.into_iter().map(Reply::of).collect()
        };

        let addresses: Vec<String> = in_parallel("ADD").iter().flat_map(Reply::addresses).collect();
        assert_eq!(addresses.len(), 2 * PODS);
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 2 * PODS, "{addresses:?}");
        for address in &addresses {
            pods[0].succeed("ping", &["-c1", address]);
        }
        for reply in in_parallel("DEL") {
            reply.silent();
        }
        node.assert_nothing_left();
    });
}
