//! Other people's forward chains that drop what they do not know: Docker's, firewalld's, ufw's.
//!
//! [`verdict`](super::verdict) tells whether a chain does.
//!
//! An accept in a table of our own cannot help there, because a packet must pass every base chain of a hook. So an
//! accept rule for each direction goes to the head of such a chain, with the comment `carrick`; the rest of the chain
//! is never touched. The rules are ones that iptables-nft can show too.

use carrick_netlink::Family;
use carrick_netlink::nftables::{Batch, ChainKind, InterfaceMatch, ListedChain, ListedRule, Policy, Rule, TableFamily};
use carrick_topology::plan::FirewallPlan;

use super::name::table_name;
use super::verdict::{Certainty, DefaultDrop, Dropper, Reachable, Way, drop_in};

/// The comment by which Carrick knows its rules in chains of others.
const COMMENT: &str = "carrick";

/// A forward chain of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// Where it is and what happens at its end.
    pub chain: ListedChain,
    /// Its rules, ours among them.
    pub rules: Vec<ListedRule>,
    /// The chains and sets to which its rules lead.
    pub reachable: Reachable,
}

/// What to change in one chain of another program.
#[derive(Debug)]
pub struct ForeignChange {
    /// The chain, as in `ip filter FORWARD`.
    pub chain: String,
    /// Number of rules that are put in.
    pub inserted: usize,
    /// Number of rules that are taken out.
    pub deleted: usize,
    /// The change itself.
    pub batch: Batch,
    /// The chain as it was seen.
    pub before: ForeignChain,
    /// Whether the chain drops packets of pods without the change.
    pub certainty: Certainty,
}

/// The accept rules that a chain needs which drops by default: the mesh's devices and the pods', in and out.
#[must_use]
pub fn accept_rules(plan: &FirewallPlan) -> Vec<Rule> {
    let mesh = plan.mesh_devices.all().into_iter().map(|device| InterfaceMatch::Is(device.as_str()));
    let pods = plan.pod_device_prefix.iter().map(|prefix| InterfaceMatch::StartsWith(prefix));
    mesh.chain(pods)
        .flat_map(|device| [Rule::new().input_interface(device), Rule::new().output_interface(device)])
        .map(|rule| rule.counter().accept().comment(COMMENT))
        .collect()
}

impl ForeignChain {
    /// Whether a chain of this place and kind could stand in the way, if it drops.
    #[must_use]
    pub fn is_candidate(chain: &ListedChain) -> bool {
        chain.base.kind == ChainKind::Filter && chain.table != table_name()
    }

    /// What to change so that exactly the accept rules are there if the chain drops packets of one of the ways by default, and none if not.
    #[must_use]
    pub(super) fn change_to(&self, accept_rules: &[Rule], ways: &[Way]) -> Option<ForeignChange> {
        if self.default_drop(ways).is_none() {
            return self.removal();
        }
        let change = self.change(accept_rules)?;
        Some(ForeignChange { certainty: self.certainty(ways), ..change })
    }

    /// What drops packets of one of the ways by default, if the chain lacks one of the accept rules.
    pub(super) fn lacks(&self, accept_rules: &[Rule], ways: &[Way]) -> Option<Dropper> {
        let has = |rule: &Rule| self.ours().any(|listed| listed.rule == *rule);
        self.default_drop(ways).map(|drop| drop.dropper).filter(|_| !accept_rules.iter().all(has))
    }

    /// Table and name, as `ip filter FORWARD`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.chain.table, self.chain.name)
    }

    /// What to change so that no rule of Carrick's is left.
    #[must_use]
    pub fn removal(&self) -> Option<ForeignChange> {
        self.change(&[])
    }

    /// Whether the chain certainly drops packets of one of the ways, Carrick's own rules left aside.
    pub(super) fn certainty(&self, ways: &[Way]) -> Certainty {
        let is_certain = |drop: &DefaultDrop| drop.certainty == Certainty::Certain;
        if self.drops(ways).iter().any(is_certain) { Certainty::Certain } else { Certainty::Undecided }
    }

    /// What drops packets of one of the ways. A policy that drops counts although no packet is known.
    fn default_drop(&self, ways: &[Way]) -> Option<DefaultDrop> {
        let by_policy = || DefaultDrop { dropper: Dropper::Policy, certainty: Certainty::Undecided };
        let first = self.drops(ways).into_iter().next();
        first.or_else(|| (self.chain.base.policy == Policy::Drop).then(by_policy))
    }

    fn drops(&self, ways: &[Way]) -> Vec<DefaultDrop> {
        let rules: Vec<&ListedRule> = self.rules.iter().filter(|listed| !is_ours(listed)).collect();
        let seen = ways.iter().filter(|[packet, _]| match self.chain.table.family {
            TableFamily::Ipv4 => packet.family == Family::V4,
            TableFamily::Ipv6 => packet.family == Family::V6,
            TableFamily::Inet => true,
        });
        let drop = |packet| drop_in(&self.chain, &rules, &self.reachable, packet);
        let dropped = seen.filter_map(|[tcp, udp]| Some([drop(tcp)?, drop(udp)?]));
        dropped.flatten().collect()
    }

    fn change(&self, wanted: &[Rule]) -> Option<ForeignChange> {
        let (kept, deleted): (Vec<&ListedRule>, Vec<&ListedRule>) =
            self.ours().partition(|listed| wanted.contains(&listed.rule));
        let missing: Vec<&Rule> =
            wanted.iter().filter(|rule| !kept.iter().any(|listed| listed.rule == **rule)).collect();
        if deleted.is_empty() && missing.is_empty() {
            return None;
        }
        let (table, name) = (&self.chain.table, &self.chain.name);
        let batch = deleted.iter().fold(Batch::new(), |batch, listed| batch.delete_rule(table, name, listed.handle));
        let batch = missing.iter().rev().fold(batch, |batch, rule| batch.insert_rule(table, name, rule));
        Some(ForeignChange {
            chain: self.title(),
            inserted: missing.len(),
            deleted: deleted.len(),
            batch,
            before: self.clone(),
            certainty: Certainty::Undecided,
        })
    }

    fn ours(&self) -> impl Iterator<Item = &ListedRule> {
        self.rules.iter().filter(|listed| is_ours(listed))
    }
}

fn is_ours(listed: &ListedRule) -> bool {
    listed.rule.comment.as_deref() == Some(COMMENT)
}

#[cfg(test)]
mod tests {
    use carrick_netlink::nftables::{BaseChain, Expression, Hook, TableName};

    use super::super::verdict::packets_of_pods;

    use super::*;

    fn chain(policy: Policy, rules: Vec<Rule>) -> ForeignChain {
        let base = BaseChain { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, policy };
        ForeignChain {
            chain: ListedChain { table: TableName::new(TableFamily::Ipv4, "filter"), name: "FORWARD".to_owned(), base },
            rules: rules.into_iter().zip(1..).map(|(rule, handle)| ListedRule { handle, rule }).collect(),
            reachable: Reachable::default(),
        }
    }

    fn wanted() -> Vec<Rule> {
        accept_rules(&plan())
    }

    fn plan() -> FirewallPlan {
        let own_pods = ["10.42.0.0/24", "fd42::/64"].map(|network| network.parse().unwrap()).into();
        FirewallPlan { pod_device_prefix: Some("crk".to_owned()), own_pods, ..FirewallPlan::default() }
    }

    fn packets() -> Vec<Way> {
        packets_of_pods(&plan())
    }

    fn counts(change: Option<ForeignChange>) -> (usize, usize) {
        change.map_or((0, 0), |change| (change.inserted, change.deleted))
    }

    #[test]
    fn one_rule_for_each_device_and_direction() {
        assert_eq!(wanted().len(), 8);
        assert_eq!(counts(chain(Policy::Drop, vec![]).change_to(&wanted(), &packets())), (8, 0));
        assert_eq!(counts(chain(Policy::Drop, wanted()).change_to(&wanted(), &packets())), (0, 0));
        assert_eq!(chain(Policy::Drop, vec![]).lacks(&wanted(), &packets()), Some(Dropper::Policy));
        assert_eq!(chain(Policy::Drop, wanted()).lacks(&wanted(), &packets()), None);
        assert_eq!(chain(Policy::Accept, vec![]).lacks(&wanted(), &packets()), None);
    }

    #[test]
    fn missing_ones_come_and_others_of_ours_go() {
        let mut present = wanted();
        present.remove(0);
        present.push(Rule::new().input_interface(InterfaceMatch::Is("carrick9")).counter().accept().comment("carrick"));
        present.push(Rule::new().drop().comment("not ours"));
        assert_eq!(counts(chain(Policy::Drop, present).change_to(&wanted(), &packets())), (1, 1));
    }

    #[test]
    fn a_chain_that_lets_pass_needs_none() {
        assert_eq!(counts(chain(Policy::Accept, vec![]).change_to(&wanted(), &packets())), (0, 0));
        assert_eq!(counts(chain(Policy::Accept, wanted()).change_to(&wanted(), &packets())), (0, 8));
    }

    #[test]
    fn a_last_rule_without_conditions_counts_as_policy() {
        let reject = Rule::new().counter().with([Expression::Reject]);
        assert_eq!(counts(chain(Policy::Accept, vec![reject.clone()]).change_to(&wanted(), &packets())), (8, 0));
        let of_other_devices = || Rule::new().input_interface(InterfaceMatch::Is("eth0"));
        assert_eq!(
            counts(chain(Policy::Accept, vec![of_other_devices().drop()]).change_to(&wanted(), &packets())),
            (0, 0)
        );
        assert_eq!(
            counts(chain(Policy::Accept, vec![of_other_devices().accept(), reject]).change_to(&wanted(), &packets())),
            (8, 0)
        );
        let of_iptables = Rule::new().counter().with([Expression::Foreign("target REJECT".to_owned())]);
        assert_eq!(counts(chain(Policy::Accept, vec![of_iptables]).change_to(&wanted(), &packets())), (8, 0));
    }

    #[test]
    fn removal_takes_ours_only() {
        let mut present = wanted();
        present.push(Rule::new().accept());
        assert_eq!(counts(chain(Policy::Drop, present).removal()), (0, 8));
    }

    #[test]
    fn a_drop_is_certain_unless_an_undecided_rule_could_accept() {
        let certainty = |rules| chain(Policy::Drop, rules).certainty(&packets());
        assert_eq!(certainty(vec![]), Certainty::Certain);
        let port = Rule::new().protocol(6).destination_port(443);
        assert_eq!(certainty(vec![port.clone().drop()]), Certainty::Certain);
        let any_port = Rule::new().with([Expression::Foreign("match set".to_owned())]);
        assert_eq!(certainty(vec![any_port.accept()]), Certainty::Undecided);
        assert_eq!(certainty(vec![port.accept()]), Certainty::Certain, "the port decides of TCP alone");
        assert_eq!(chain(Policy::Drop, vec![]).certainty(&[]), Certainty::Undecided);
    }
}
