//! What the kernel thread tells the prober.

use std::collections::BTreeSet;

use super::HandoverPlan;
use crate::model::NodeName;

/// What this node's kernel holds of handovers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandoverInForce {
    /// Gateways that encapsulated packets can be sent to: the prober tries an encapsulated probe.
    pub leads_to: BTreeSet<NodeName>,
    /// Gateways to which forwarded packets go encapsulated.
    pub encapsulates_to: BTreeSet<NodeName>,
    /// Gateways from which encapsulated packets are accepted.
    pub decapsulates_from: BTreeSet<NodeName>,
}

impl HandoverInForce {
    /// What is in force once the kernel holds this plan.
    #[must_use]
    pub fn after(plan: &HandoverPlan) -> Self {
        let is_used = |next_hop| plan.routes.iter().any(|route| route.via == next_hop);
        let used = plan.receivers.iter().filter(|(_, receiver)| receiver.next_hops.iter().copied().any(is_used));
        Self {
            leads_to: plan.receivers.keys().cloned().collect(),
            encapsulates_to: used.map(|(name, _)| name.clone()).collect(),
            decapsulates_from: plan.senders.keys().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::{HandoverReceiver, HandoverRoute, HandoverSender};
    use crate::model::mac_of_node;

    #[test]
    fn a_gateway_without_a_route_is_tried_and_nothing_is_encapsulated_to_it() {
        let name = |text: &str| text.parse::<NodeName>().unwrap();
        let receiver = |text: &str, address: &str| {
            let address = address.parse().unwrap();
            (name(text), HandoverReceiver { mac: mac_of_node(&name(text)), address, next_hops: [address].into() })
        };
        let sender = HandoverSender { address: "10.4.0.3".parse().unwrap(), sources: [].into() };
        let plan = HandoverPlan {
            device: "carrick-ho".parse().unwrap(),
            identifier: 1,
            port: 2,
            mac: mac_of_node(&name("me")),
            mtu: 1420,
            receivers: [receiver("proven", "10.4.0.1"), receiver("offered", "10.4.0.2")].into(),
            senders: [(name("sender"), sender)].into(),
            routes: vec![HandoverRoute {
                destination: "10.42.1.0/24".parse().unwrap(),
                via: "10.4.0.1".parse().unwrap(),
                mtu: 1420,
            }],
            exceptions: [].into(),
        };
        let expected = HandoverInForce {
            leads_to: [name("offered"), name("proven")].into(),
            encapsulates_to: [name("proven")].into(),
            decapsulates_from: [name("sender")].into(),
        };
        assert_eq!(HandoverInForce::after(&plan), expected);
    }
}
