use std::path::Path;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Pod, on_node};

#[test]
fn del_is_idempotent() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("DEL", node, &pod, "never").run().silent();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        for _ in 0..2 {
            detach_all(node, &[(&pod, "0a1b")]);
        }
    });
}

#[test]
fn del_needs_no_namespace_no_previous_result_and_no_agent() {
    on_node(&DUAL_STACK, |node| {
        for namespace in [None, Some("/run/netns/gone".to_owned())] {
            let pod = Pod::new();
            Call::new("ADD", node, &pod, "0a1b").run().result();
            drop(pod);
            std::fs::remove_file(node.run_directory().join("node.json")).unwrap();
            let del = Call { namespace, arguments: None, ..Call::new("DEL", node, &Pod::new(), "0a1b") };
            del.run().silent();
            node.assert_nothing_left();
            node.program(&DUAL_STACK, 1400);
        }
    });
}

#[test]
fn del_ignores_invalid_fields_that_it_does_not_need() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let mut del = Call::new("DEL", node, &pod, "0a1b");
        del.set("prevResult", serde_json::json!({"ips": [{"address": "garbage"}]}));
        del.set("runtimeConfig", serde_json::json!("garbage"));
        del.set("dns", serde_json::json!(7));
        del.run().silent();
        node.assert_nothing_left();
    });
}

#[test]
fn del_does_not_touch_a_namespace_that_another_pod_uses_now() {
    on_node(&DUAL_STACK, |node| {
        let (gone, other) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &gone, "gone").run().result();
        Call::new("ADD", node, &other, "other").run().result();
        Call::new("DEL", node, &other, "gone").run().silent();
        other.succeed("ping", &["-c1", "192.0.2.1"]);
        detach_all(node, &[(&other, "other")]);
    });
}

#[test]
fn del_of_another_network_changes_nothing() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let mut del = Call::new("DEL", node, &pod, "0a1b");
        del.set("name", "other".into());
        del.run().silent();
        pod.succeed("ping", &["-c1", "192.0.2.1"]);
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn del_creates_no_files() {
    on_node(&DUAL_STACK, |node| {
        let mut del = Call::new("DEL", node, &Pod::new(), "0a1b");
        del.set("runDirectory", "/nonexistent/carrick".into());
        del.run().silent();
        assert!(!Path::new("/nonexistent").exists());
        node.assert_nothing_left();
    });
}

#[test]
fn released_addresses_are_assigned_again_last() {
    on_node(&["10.42.0.0/29"], |node| {
        let pod = Pod::new();
        let mut given = Vec::new();
        for round in 0..7 {
            let container_id = format!("pod{round}");
            given.extend(Call::new("ADD", node, &pod, &container_id).run().addresses());
            Call::new("DEL", node, &pod, &container_id).run().silent();
        }
        let last_octets: Vec<&str> = given.iter().map(|address| address.rsplit('.').next().unwrap()).collect();
        assert_eq!(last_octets, ["2", "3", "4", "5", "6", "2", "3"]);
        node.assert_nothing_left();
    });
}
