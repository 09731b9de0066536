//! The firewall: table `inet carrick`, the accept rules in forward chains of others that drop by policy, and what copies packets while
//! a gateway returns.

mod copies;
mod foreign;
mod ruleset;

use std::collections::{BTreeMap, BTreeSet};

use carrick_netlink::Error;
use carrick_netlink::nftables::{
    Batch, Difference, Generation, Hook, IpVersion, ListedChain, Nftables, Table, is_outdated,
};
use carrick_topology::plan::FirewallPlan;
use ruleset::VERSIONS;

pub use copies::{copy_table_name, copy_tables};
pub use foreign::{ForeignChain, ForeignChange, accept_rules};
pub use ruleset::{ruleset, table_name};

/// How often a change by somebody else in the middle of ours is answered by looking again.
const ATTEMPTS: usize = 8;

/// What nftables holds that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The generation that all of it is of.
    pub generation: Generation,
    /// The table `inet carrick`.
    pub table: Option<Table>,
    /// The tables `ip carrick` and `ip6 carrick`.
    pub copies: BTreeMap<IpVersion, Table>,
    /// The forward chains of others.
    pub foreign: Vec<ForeignChain>,
}

/// What an apply changed.
#[derive(Debug, Default)]
pub struct Applied {
    /// What changed in the table `inet carrick`.
    pub table: TableChange,
    /// For a cleanup: how many of the tables `ip carrick` and `ip6 carrick` were removed.
    pub copies: usize,
    /// For each chain of somebody else that changed: how many rules were put in and taken out.
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
    /// The tables for copies that are not as the plan asks for, as `ip carrick`.
    pub copies: BTreeSet<String>,
    /// Forward chains of others that drop by default and lack an accept rule, as `ip filter FORWARD`.
    pub dropping: BTreeSet<String>,
}

/// Whether packets go by a gateway that returns as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Copying {
    /// Nothing is to be copied.
    #[default]
    Idle,
    /// All that is to be copied is.
    Running,
    /// This kernel has no `dup`, at least for one version.
    Impossible,
}

/// What became of the tables for copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiesApplied {
    /// Tables that were put in place or removed.
    pub changed: usize,
    /// What holds now.
    pub copying: Copying,
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

/// Rules in a chain of somebody else.
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
    refused: Vec<ForeignChain>,
    /// Versions in which this kernel cannot copy.
    without_copies: BTreeSet<IpVersion>,
}

impl Applied {
    /// Whether anything was written.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.table != TableChange::None || self.copies > 0 || !self.foreign.is_empty()
    }
}

impl Firewall {
    /// Opens a connection to nftables in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel lacks nfnetlink.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { nftables: Nftables::open()?, known: None, refused: Vec::new(), without_copies: BTreeSet::new() })
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
        let accepts = accept_rules(plan);
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
                foreign: open.filter_map(|chain| chain.change_to(&accepts)).collect(),
            }
        })
    }

    /// Begins or ends to copy as the plan asks for, each version in a transaction of its own. A kernel that cannot is asked once, and
    /// told of once.
    ///
    /// # Errors
    ///
    /// The kernel refused for another reason than that it has no `dup`.
    pub fn apply_copies(&mut self, plan: &FirewallPlan) -> Result<CopiesApplied, Error> {
        let wanted = copy_tables(plan);
        let mut applied = CopiesApplied::default();
        for version in VERSIONS {
            applied.changed += usize::from(self.apply_copy_table(version, wanted.get(&version))?);
        }
        applied.copying = match wanted.keys().any(|version| self.without_copies.contains(version)) {
            true => Copying::Impossible,
            false if wanted.is_empty() => Copying::Idle,
            false => Copying::Running,
        };
        Ok(applied)
    }

    fn apply_copy_table(&mut self, version: IpVersion, wanted: Option<&Table>) -> Result<bool, Error> {
        if wanted.is_some() && self.without_copies.contains(&version) {
            return Ok(false);
        }
        let mut attempt = 1;
        loop {
            let observation = self.observe()?;
            let (generation, present) = (observation.generation, observation.copies.get(&version));
            let batch = match wanted {
                Some(wanted) => Batch::new().resolve(wanted, &wanted.difference_from(present)),
                None if present.is_some() => Batch::new().remove_table(&copy_table_name(version)),
                None => return Ok(false),
            };
            if batch.is_empty() {
                return Ok(false);
            }
            match self.nftables.commit(batch, Some(generation)) {
                Ok(()) => {
                    tracing::info!(event = "copying", ?version, is_running = wanted.is_some());
                    if let Some(known) = &mut self.known {
                        known.generation = generation.next();
                        known.copies.extend(wanted.map(|table| (version, table.clone())));
                        known.copies.retain(|known, _| *known != version || wanted.is_some());
                    }
                    return Ok(true);
                }
                Err(error) if is_outdated(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) if wanted.is_some() && (error.is_not_found() || error.is_not_supported()) => {
                    tracing::info!(event = "cannot_copy", ?version, %error, "a gateway's return may lose packets");
                    self.without_copies.insert(version);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Compares what is there with what the plan asks for. Writes nothing.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn inspect(&mut self, plan: &FirewallPlan) -> Result<FirewallInspection, Error> {
        let (wanted, accepts) = (ruleset(plan), accept_rules(plan));
        let wanted_copies = copy_tables(plan);
        let observation = self.observe()?;
        let as_wanted = |version: &IpVersion| match (wanted_copies.get(version), observation.copies.get(version)) {
            (Some(wanted), present) => wanted.matches(present),
            (None, present) => present.is_none(),
        };
        let copies = VERSIONS.into_iter().filter(|version| !as_wanted(version));
        let dropping = observation.foreign.iter().filter(|chain| chain.lacks(&accepts)).map(ForeignChain::title);
        Ok(FirewallInspection {
            table: match wanted.difference_from(observation.table.as_ref()) {
                Difference::None => TableChange::None,
                Difference::Elements(_) => TableChange::Elements,
                Difference::Structure => TableChange::Replaced,
            },
            copies: copies.map(|version| copy_table_name(version).to_string()).collect(),
            dropping: dropping.collect(),
        })
    }

    /// Removes Carrick's tables and every rule of Carrick's in chains of others.
    ///
    /// # Errors
    ///
    /// The kernel refused the table's removal; what could not be removed from chains of others is in
    /// [`Applied::refused`].
    pub fn cleanup(&mut self) -> Result<Applied, Error> {
        let copies = self.apply_copies(&FirewallPlan::default());
        let mut applied = self.settle(|observation| {
            let (table, batch) = match observation.table {
                Some(_) => (TableChange::Replaced, Batch::new().remove_table(&table_name())),
                None => (TableChange::None, Batch::new()),
            };
            let foreign = observation.foreign.iter().filter_map(ForeignChain::removal).collect();
            Changes { table, batch, becomes: None, foreign }
        })?;
        match copies {
            Ok(copies) => applied.copies = copies.changed,
            Err(error) => applied.refused.push(error),
        }
        Ok(applied)
    }

    fn still_refused(&mut self) -> Result<Vec<ForeignChain>, Error> {
        let foreign = self.observe()?.foreign.clone();
        self.refused.retain(|chain| foreign.contains(chain));
        Ok(self.refused.clone())
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
                    applied.refused.push(error);
                    self.refused.push(change.before);
                }
            }
        }
        Ok(applied)
    }

    fn read(&mut self) -> Result<Observation, Error> {
        let (generation, (table, copies, foreign)) = self.nftables.snapshot(|nftables| {
            let table = nftables.table(&table_name())?;
            let mut copies = BTreeMap::new();
            for version in VERSIONS {
                copies.extend(nftables.table(&copy_table_name(version))?.map(|table| (version, table)));
            }
            let chains = nftables.base_chains(Hook::Forward)?;
            let candidates = chains.into_iter().filter(ForeignChain::is_candidate);
            let foreign: Result<Vec<ForeignChain>, Error> =
                candidates.map(|chain| with_rules(nftables, chain)).collect();
            Ok((table, copies, foreign?))
        })?;
        Ok(Observation { generation, table, copies, foreign })
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

fn with_rules(nftables: &mut Nftables, chain: ListedChain) -> Result<ForeignChain, Error> {
    let rules = nftables.rules(&chain.table, &chain.name)?;
    Ok(ForeignChain { chain, rules })
}
