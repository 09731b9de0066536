//! The nftables table `inet carrick-cni`: ports of the host that lead to pods, and the check of pods' source addresses.
//!
//! The table follows from the store's records and the devices that exist ([`wanted`]). ADD and DEL change elements
//! only; GC, the agent, and an ADD that finds the table missing, compare all of it and put it right, in one transaction
//! ([`Firewall::follow`]).

mod connections;
mod table;

use std::collections::BTreeSet;

use carrick_netlink::nftables::{Batch, Nftables, Table, is_outdated};
use carrick_netlink::{Error, Protocol, Socket, link};

use crate::ipam::{Record, Records, Store, StoreError};

pub use table::{table_name, wanted};

/// How often a change is computed anew because somebody else changed nftables meanwhile.
const ATTEMPTS: usize = 1_000;

/// The table in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Firewall {
    nftables: Nftables,
}

/// What a comparison of the table with the store came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Nothing differed, and nothing was written.
    Unchanged,
    /// The table is as it should be again.
    Repaired,
}

/// Why the table could not be made to follow the store.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Firewall {
    /// Opens a connection to nftables in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel gives none.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { nftables: Nftables::open()? })
    }

    /// Makes sure that the table is there, and that the record's host ports lead to the pod. The pod's device must
    /// exist already, or a comparison at the same time would take the ports away again.
    ///
    /// # Errors
    ///
    /// See [`FirewallError`].
    pub fn admit(&mut self, record: &Record, store: &Store) -> Result<(), FirewallError> {
        if record.host_ports.is_empty() {
            return if self.exists()? { Ok(()) } else { self.follow(store).map(drop) };
        }
        let batch = table::additions(record);
        match self.nftables.commit(batch, None) {
            // No table, or an element of a pod that is gone: the store knows.
            Err(error) if error.is_not_found() || table::is_occupied(&error) => self.follow(store).map(drop),
            done => {
                done?;
                Ok(connections::forget_untranslated(std::slice::from_ref(record))?)
            }
        }
    }

    /// Takes the record's host ports away. What is gone already is fine. The pod's device must be gone already, or
    /// a comparison at the same time would bring the ports back.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn withdraw(&mut self, record: &Record) -> Result<(), Error> {
        if record.host_ports.is_empty() {
            return Ok(());
        }
        match self.nftables.commit(table::removals(record), None) {
            Err(error) if error.is_not_found() => {
                self.change(|present| Ok::<_, Error>(present.map(|present| table::without(present, record))))?;
            }
            done => done?,
        }
        connections::forget_translated(record)
    }

    /// Makes the table follow the store, as it is when this returns. Where there was never a pod there is no table, and none is
    /// made.
    ///
    /// # Errors
    ///
    /// See [`FirewallError`].
    pub fn follow(&mut self, store: &Store) -> Result<Restored, FirewallError> {
        if !self.exists()? && !is_needed(&store.records()?) {
            return Ok(Restored::Unchanged);
        }
        let mut socket = Socket::open(Protocol::Route)?;
        let mut restored = Restored::Unchanged;
        // Once more after a change: a DEL that saw the old table has ended by then.
        while self.change(|_| wanted_now(&mut socket, store).map(Some))? == Restored::Repaired {
            restored = Restored::Repaired;
        }
        if restored == Restored::Repaired {
            connections::forget_untranslated(&store.records()?.readable)?;
        }
        Ok(restored)
    }

    /// Whether the table is there, in whatever state.
    fn exists(&mut self) -> Result<bool, Error> {
        self.nftables.has_table(&table_name())
    }

    /// What the table has and should not have, or the other way round, in words.
    ///
    /// # Errors
    ///
    /// See [`FirewallError`].
    pub fn inconsistencies(&mut self, store: &Store) -> Result<Vec<String>, FirewallError> {
        let mut socket = Socket::open(Protocol::Route)?;
        let (_, present) = self.nftables.snapshot(|nftables| nftables.table(&table_name()))?;
        Ok(match present {
            None if !is_needed(&store.records()?) => Vec::new(),
            None => vec![format!("there is no nftables table {}", table_name())],
            Some(present) if wanted_now(&mut socket, store)?.matches(Some(&present)) => Vec::new(),
            Some(_) => vec![format!("the nftables table {} does not hold what the records say", table_name())],
        })
    }

    /// Makes the table what `wanted` says of it, and says it again when somebody else gets in between. `None` is nothing
    /// to do.
    fn change<E: From<Error>>(
        &mut self,
        mut wanted: impl FnMut(Option<&Table>) -> Result<Option<Table>, E>,
    ) -> Result<Restored, E> {
        for _ in 0..ATTEMPTS {
            let (generation, present) = self.nftables.snapshot(|nftables| nftables.table(&table_name()))?;
            let Some(wanted) = wanted(present.as_ref())? else { return Ok(Restored::Unchanged) };
            let batch = Batch::new().resolve(&wanted, &wanted.difference_from(present.as_ref()));
            if batch.is_empty() {
                return Ok(Restored::Unchanged);
            }
            match self.nftables.commit(batch, Some(generation)) {
                Err(error) if is_outdated(&error) => {}
                done => return done.map(|()| Restored::Repaired).map_err(E::from),
            }
        }
        Err(E::from(Error::new("change nftables table", table_name().to_string(), carrick_netlink::Cause::Interrupted)))
    }
}

/// A record that cannot be read stands for a pod too, whose source addresses are to be checked.
fn is_needed(records: &Records) -> bool {
    !records.readable.is_empty() || !records.unreadable.is_empty()
}

/// The devices are looked at after the records: one that is gone by then is on its way out.
fn wanted_now(socket: &mut Socket, store: &Store) -> Result<Table, FirewallError> {
    let records = store.records()?.readable;
    let devices: BTreeSet<String> = if records.iter().any(|record| !record.host_ports.is_empty()) {
        link::dump(socket)?.into_iter().map(|link| link.name).collect()
    } else {
        BTreeSet::new()
    };
    Ok(wanted(&records, &devices))
}
