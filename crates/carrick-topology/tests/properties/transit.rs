//! What is in transit needs no connection tracking, whatever the cluster.

use carrick_topology::model::host_net;
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::generated::scenario;
use crate::plans;

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("proptest-regressions")))]

    #[test]
    fn nothing_that_a_node_has_or_translates_is_in_transit(scenario in scenario(40)) {
        for (name, plan) in plans(&scenario) {
            let firewall = &plan.firewall;
            let addresses = firewall.mesh_addresses.iter().chain(&firewall.internal_sources);
            let addresses = addresses.chain(&firewall.vxlan_addresses).chain(&firewall.location_internal_addresses);
            let networks = firewall.own_pods.iter().chain(&firewall.direct).chain(&firewall.allowed_location.destinations);
            let tracked: Vec<IpNet> = addresses.copied().map(host_net).chain(networks.copied()).collect();
            for net in &firewall.transit {
                let overlapping = tracked.iter().find(|other| other.contains(net) || net.contains(*other));
                prop_assert_eq!(overlapping, None, "{} on {}", net, &name);
                prop_assert!(firewall.carried.contains(net), "{} on {}", net, &name);
            }
        }
    }
}
