//! Other people's forward chains that drop what they do not know: Docker's, firewalld's, ufw's.
//!
//! An accept in a table of our own cannot help there, because a packet must pass every base chain of a hook. So an
//! accept rule for each direction goes to the head of such a chain, with the comment `carrick`; the rest of the chain
//! is never touched. The rules are ones that iptables-nft can show too.

use carrick_netlink::nftables::{
    Batch, ChainKind, Expression, InterfaceMatch, ListedChain, ListedRule, Policy, Rule, Verdict,
};
use carrick_topology::plan::FirewallPlan;

use super::name::table_name;

/// The comment by which Carrick knows its rules in chains of others.
const COMMENT: &str = "carrick";

/// A forward chain of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// Where it is and what happens at its end.
    pub chain: ListedChain,
    /// Its rules, ours among them.
    pub rules: Vec<ListedRule>,
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

    /// What to change so that exactly the accept rules are there if the chain drops by default, and none if not.
    #[must_use]
    pub fn change_to(&self, accept_rules: &[Rule]) -> Option<ForeignChange> {
        if self.drops_by_default() { self.change(accept_rules) } else { self.removal() }
    }

    /// Whether it drops by default and lacks one of the accept rules.
    pub(super) fn lacks(&self, accept_rules: &[Rule]) -> bool {
        let has = |rule: &Rule| self.ours().any(|listed| listed.rule == *rule);
        self.drops_by_default() && !accept_rules.iter().all(has)
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

    /// Whether a packet that no rule knows is dropped: by policy, or by a last rule without conditions.
    fn drops_by_default(&self) -> bool {
        self.chain.base.policy == Policy::Drop || self.rules.last().is_some_and(|listed| drops_everything(&listed.rule))
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
        })
    }

    fn ours(&self) -> impl Iterator<Item = &ListedRule> {
        self.rules.iter().filter(|listed| listed.rule.comment.as_deref() == Some(COMMENT))
    }
}

fn drops_everything(rule: &Rule) -> bool {
    let acting: Vec<&Expression> =
        rule.expressions.iter().filter(|expression| **expression != Expression::Counter).collect();
    match acting.as_slice() {
        [Expression::Verdict(Verdict::Drop) | Expression::Reject] => true,
        [Expression::Foreign(name)] => name == "target REJECT",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use carrick_netlink::nftables::{BaseChain, Hook, TableFamily, TableName};

    use super::*;

    fn chain(policy: Policy, rules: Vec<Rule>) -> ForeignChain {
        let base = BaseChain { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, policy };
        ForeignChain {
            chain: ListedChain { table: TableName::new(TableFamily::Ipv4, "filter"), name: "FORWARD".to_owned(), base },
            rules: rules.into_iter().zip(1..).map(|(rule, handle)| ListedRule { handle, rule }).collect(),
        }
    }

    fn wanted() -> Vec<Rule> {
        accept_rules(&FirewallPlan { pod_device_prefix: Some("crk".to_owned()), ..FirewallPlan::default() })
    }

    fn counts(change: Option<ForeignChange>) -> (usize, usize) {
        change.map_or((0, 0), |change| (change.inserted, change.deleted))
    }

    #[test]
    fn one_rule_for_each_device_and_direction() {
        assert_eq!(wanted().len(), 8);
        assert_eq!(counts(chain(Policy::Drop, vec![]).change_to(&wanted())), (8, 0));
        assert_eq!(counts(chain(Policy::Drop, wanted()).change_to(&wanted())), (0, 0));
        assert!(chain(Policy::Drop, vec![]).lacks(&wanted()) && !chain(Policy::Drop, wanted()).lacks(&wanted()));
        assert!(!chain(Policy::Accept, vec![]).lacks(&wanted()));
    }

    #[test]
    fn missing_ones_come_and_others_of_ours_go() {
        let mut present = wanted();
        present.remove(0);
        present.push(Rule::new().input_interface(InterfaceMatch::Is("carrick9")).counter().accept().comment("carrick"));
        present.push(Rule::new().drop().comment("not ours"));
        assert_eq!(counts(chain(Policy::Drop, present).change_to(&wanted())), (1, 1));
    }

    #[test]
    fn a_chain_that_lets_pass_needs_none() {
        assert_eq!(counts(chain(Policy::Accept, vec![]).change_to(&wanted())), (0, 0));
        assert_eq!(counts(chain(Policy::Accept, wanted()).change_to(&wanted())), (0, 8));
    }

    #[test]
    fn a_last_rule_without_conditions_counts_as_policy() {
        let reject = Rule::new().counter().with([Expression::Reject]);
        assert_eq!(counts(chain(Policy::Accept, vec![reject.clone()]).change_to(&wanted())), (8, 0));
        let conditional = Rule::new().protocol(6).drop();
        assert_eq!(counts(chain(Policy::Accept, vec![reject, conditional]).change_to(&wanted())), (0, 0));
        let of_iptables = Rule::new().counter().with([Expression::Foreign("target REJECT".to_owned())]);
        assert_eq!(counts(chain(Policy::Accept, vec![of_iptables]).change_to(&wanted())), (8, 0));
    }

    #[test]
    fn removal_takes_ours_only() {
        let mut present = wanted();
        present.push(Rule::new().accept());
        assert_eq!(counts(chain(Policy::Drop, present).removal()), (0, 8));
    }
}
