//! Hosts whose kernel was started with `ipv6.disable=1`: it makes no IPv6 sockets, and has none of the settings.

use crate::mesh::Mesh;

const V4_ALONE: &str = "
families: v4
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
";

#[test]
#[ignore = "needs a kernel started with ipv6.disable=1: scripts/test-vm.sh"]
fn without_ipv6_in_the_kernel_the_mesh_carries_ipv4_and_says_what_is_missing() {
    let mesh = Mesh::up(V4_ALONE);
    assert!(!std::path::Path::new("/proc/net/if_inet6").exists(), "the kernel has IPv6");
    mesh.all_reach();
    for node in ["a1", "b1"] {
        let warnings = mesh.warnings(node);
        let [missing] = &warnings[..] else { panic!("{node}: {warnings:?}") };
        assert!(missing.contains("mesh-cidr") && missing.contains("IPv6"), "{missing}");
        let status = mesh.status(node);
        assert_eq!(status["ready"], true, "{status}");
        assert_eq!(status["failures"], serde_json::json!([]));
        let annotations = mesh.kubernetes().node(node).unwrap()["metadata"]["annotations"].clone();
        assert!(!annotations["carrick.dev/mesh-addresses"].as_str().unwrap().contains(':'), "{annotations}");
    }
}
