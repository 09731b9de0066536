//! The firewall: table `inet carrick`, and the accept rules in forward chains of others that drop by policy.

mod dropped;
mod foreign;
mod name;
mod ruleset;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use carrick_netlink::Error;
use carrick_netlink::monitor::Monitor;
use carrick_netlink::nftables::{
    Batch, Difference, Generation, Hook, ListedChain, ListedRule, Nftables, Table, is_outdated,
};
use carrick_topology::plan::FirewallPlan;

pub use dropped::{DropCounters, DropReason};
pub use foreign::{ForeignChain, ForeignChange, accept_rules};
pub use name::table_name;
pub use ruleset::ruleset;
pub use verdict::{Certainty, Reachable};
use verdict::{anonymous_sets, packets_of_pods, targets};

/// The number of chains of another program that are read for one of its base chains.
const MOST_CHAINS: usize = 256;

/// How often an apply starts again because another program changed nftables in the meantime.
const ATTEMPTS: usize = 8;

/// What nftables holds that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The generation that all of it is of.
    pub generation: Generation,
    /// The table `inet carrick`.
    pub table: Option<Table>,
    /// The forward chains of others.
    pub foreign: Vec<ForeignChain>,
}

/// What an apply changed.
#[derive(Debug, Default)]
pub struct Applied {
    /// What changed in the table `inet carrick`.
    pub table: TableChange,
    /// For each chain of another program that changed: how many rules were inserted and deleted.
    pub foreign: BTreeMap<String, ForeignCount>,
    /// Chains of others that could not be changed, such as those of a table that its owner has locked. The mesh may
    /// be cut off there, everything else is in place. Each is told once, and tried again when it looks otherwise.
    pub refused: Vec<Error>,
}

/// What differs from the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallInspection {
    /// What an apply would change in the table `inet carrick`.
    pub table: TableChange,
    /// Forward chains of others that drop by default and lack an accept rule, and what drops, as `ip filter FORWARD (by its policy)`.
    pub dropping: BTreeSet<String>,
}

/// A chain of another program that cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedChain {
    /// Why it cannot be changed.
    pub reason: String,
    /// Whether it drops packets of pods.
    pub certainty: Certainty,
}

/// What changed in the table `inet carrick`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TableChange {
    /// Nothing.
    #[default]
    None,
    /// Elements of its sets.
    Elements,
    /// It was put in place as a whole.
    Replaced,
}

/// Rules in a chain of another program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForeignCount {
    /// Put in.
    pub inserted: usize,
    /// Taken out.
    pub deleted: usize,
}

/// The firewall of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Firewall {
    nftables: Nftables,
    /// What is there, as long as the generation is still the same.
    known: Option<Observation>,
    /// Chains of others that could not be changed; they are left alone until they look otherwise.
    refused: Vec<(ForeignChain, LockedChain)>,
}

impl Applied {
    /// Whether anything was written.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.table != TableChange::None || !self.foreign.is_empty()
    }
}

impl Firewall {
    /// Opens a connection to nftables in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel lacks nfnetlink.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { nftables: Nftables::open()?, known: None, refused: Vec::new() })
    }

    /// Watches the transactions on nftables of all other sockets.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket.
    pub fn watch(&self) -> Result<Monitor, Error> {
        let mut monitor = Monitor::nftables()?;
        monitor.ignore(self.nftables.port()?);
        Ok(monitor)
    }

    /// The number of messages that could change the kernel which were sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.nftables.writes()
    }

    /// Reads what is there; only the generation, if nothing in nftables has changed since the last time.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn observe(&mut self) -> Result<&Observation, Error> {
        let is_current = match &self.known {
            Some(known) => self.nftables.generation()? == known.generation,
            None => false,
        };
        let observation = match self.known.take() {
            Some(known) if is_current => known,
            _ => self.read()?,
        };
        Ok(self.known.insert(observation))
    }

    /// Makes the kernel hold what the plan asks for, and writes only what differs. The table `inet carrick` changes
    /// as a whole or not at all.
    ///
    /// # Errors
    ///
    /// The kernel refused the table, which is as before then.
    pub fn apply(&mut self, plan: &FirewallPlan) -> Result<Applied, Error> {
        let wanted = ruleset(plan);
        let (accepts, ways) = (accept_rules(plan), packets_of_pods(plan));
        let refused = self.still_refused()?;
        self.settle(|observation| {
            let open = observation.foreign.iter().filter(|chain| !refused.contains(chain));
            let difference = wanted.difference_from(observation.table.as_ref());
            Changes {
                table: match difference {
                    Difference::None => TableChange::None,
                    Difference::Elements(_) => TableChange::Elements,
                    Difference::Structure => TableChange::Replaced,
                },
                batch: Batch::new().resolve(&wanted, &difference),
                becomes: Some(wanted.clone()),
                foreign: open.filter_map(|chain| chain.change_to(&accepts, &ways)).collect(),
            }
        })
    }

    /// Compares what is there with what the plan asks for. Writes nothing.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn inspect(&mut self, plan: &FirewallPlan) -> Result<FirewallInspection, Error> {
        let (wanted, accepts, ways) = (ruleset(plan), accept_rules(plan), packets_of_pods(plan));
        let observation = self.observe()?;
        let dropping = observation.foreign.iter().filter_map(|chain| {
            let dropper = chain.lacks(&accepts, &ways)?;
            Some(match chain.certainty(&ways) {
                Certainty::Certain => format!("{} (by {dropper})", chain.title()),
                Certainty::Undecided => format!("{} (by {dropper}, unless a rule accepts them)", chain.title()),
            })
        });
        Ok(FirewallInspection {
            table: match wanted.difference_from(observation.table.as_ref()) {
                Difference::None => TableChange::None,
                Difference::Elements(_) => TableChange::Elements,
                Difference::Structure => TableChange::Replaced,
            },
            dropping: dropping.collect(),
        })
    }

    /// Removes the table `inet carrick` and every rule of Carrick's in chains of others.
    ///
    /// # Errors
    ///
    /// The kernel refused the table's removal; what could not be removed from chains of others is in
    /// [`Applied::refused`].
    pub fn cleanup(&mut self) -> Result<Applied, Error> {
        self.settle(|observation| {
            let (table, batch) = match observation.table {
                Some(_) => (TableChange::Replaced, Batch::new().remove_table(&table_name())),
                None => (TableChange::None, Batch::new()),
            };
            let foreign = observation.foreign.iter().filter_map(ForeignChain::removal).collect();
            Changes { table, batch, becomes: None, foreign }
        })
    }

    fn still_refused(&mut self) -> Result<Vec<ForeignChain>, Error> {
        if !self.refused.is_empty() {
            // A table goes with the process that owns it, and the kernel counts no generation for that.
            self.known = None;
        }
        let foreign = self.observe()?.foreign.clone();
        self.refused.retain(|(chain, _)| foreign.contains(chain));
        Ok(self.refused.iter().map(|(chain, _)| chain.clone()).collect())
    }

    /// The chains of other programs that drop packets by default and refused the accept rules at the last attempt, as `ip filter FORWARD`,
    /// each with the reason.
    #[must_use]
    pub fn locked_chains(&self) -> BTreeMap<String, LockedChain> {
        self.refused.iter().map(|(chain, locked)| (chain.title(), locked.clone())).collect()
    }

    fn settle(&mut self, changes: impl Fn(&Observation) -> Changes) -> Result<Applied, Error> {
        let mut attempt = 1;
        loop {
            let observation = self.observe()?;
            let generation = observation.generation;
            let changes = changes(observation);
            match self.carry_out(generation, changes) {
                Err(error) if is_outdated(&error) && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn carry_out(&mut self, generation: Generation, changes: Changes) -> Result<Applied, Error> {
        let mut applied = Applied { table: changes.table, ..Applied::default() };
        if changes.table != TableChange::None {
            self.nftables.commit(changes.batch, Some(generation))?;
            tracing::info!(event = "firewall_table_changed", change = ?changes.table);
            if let Some(known) = &mut self.known {
                known.generation = generation.next();
                known.table = changes.becomes;
            }
        }
        for change in changes.foreign {
            let count = ForeignCount { inserted: change.inserted, deleted: change.deleted };
            match self.nftables.commit(change.batch, None) {
                Ok(()) => {
                    let ForeignCount { inserted, deleted } = count;
                    tracing::info!(event = "foreign_chain_changed", chain = change.chain, inserted, deleted);
                    applied.foreign.insert(change.chain, count);
                    // The handles of the new rules are not known yet.
                    self.known = None;
                }
                Err(error) => {
                    let locked = LockedChain { reason: error.to_string(), certainty: change.certainty };
                    self.refused.push((change.before, locked));
                    applied.refused.push(error);
                }
            }
        }
        Ok(applied)
    }

    fn read(&mut self) -> Result<Observation, Error> {
        let (generation, (table, foreign)) = self.nftables.snapshot(|nftables| {
            let table = nftables.table(&table_name())?;
            let chains = nftables.base_chains(Hook::Forward)?;
            let candidates = chains.into_iter().filter(ForeignChain::is_candidate);
            let foreign: Result<Vec<ForeignChain>, Error> =
                candidates.map(|chain| with_rules(nftables, chain)).collect();
            Ok((table, foreign?))
        })?;
        Ok(Observation { generation, table, foreign })
    }
}

/// What to do about one observation.
struct Changes {
    table: TableChange,
    batch: Batch,
    /// The table behind the batch.
    becomes: Option<Table>,
    foreign: Vec<ForeignChange>,
}

/// Reads a base chain, and what its rules lead to. Chains beyond the first [`MOST_CHAINS`] are taken to let the packet pass.
fn with_rules(nftables: &mut Nftables, chain: ListedChain) -> Result<ForeignChain, Error> {
    let rules = nftables.rules(&chain.table, &chain.name)?;
    let mut reachable = Reachable::default();
    let mut pending: VecDeque<Vec<ListedRule>> = [rules.clone()].into();
    while let Some(next) = pending.pop_front() {
        for rule in next.iter().map(|listed| &listed.rule) {
            for name in anonymous_sets(rule) {
                if let Some(set) = nftables.set(&chain.table, name)? {
                    reachable.sets.insert(name.to_owned(), set);
                }
            }
            for target in targets(rule, &reachable.sets) {
                if !reachable.chains.contains_key(target) && reachable.chains.len() < MOST_CHAINS {
                    let rules = nftables.rules(&chain.table, target)?;
                    reachable.chains.insert(target.to_owned(), rules.clone());
                    pending.push_back(rules);
                }
            }
        }
    }
    Ok(ForeignChain { chain, rules, reachable })
}
