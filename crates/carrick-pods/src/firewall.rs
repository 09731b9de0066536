//! The nftables table `inet carrick-cni`: host ports, and the check of the pods' source addresses.
//!
//! The content of the table follows from the records of the store and the devices that exist ([`wanted`]). ADD and DEL change set
//! elements only. GC, the agent, and an ADD that finds no table compare the whole table and repair it in one transaction
//! ([`Firewall::reconcile`]).

mod connections;
mod table;

use std::collections::BTreeSet;

use carrick_netlink::nftables::{Batch, Difference, Nftables, Table, is_outdated};
use carrick_netlink::{Error, Protocol, Socket, link};

use crate::ipam::{Record, Records, Store, StoreError};

pub use table::{table_name, wanted};

/// How often a change is computed again because another program changed nftables at the same time.
const ATTEMPTS: usize = 1_000;

/// The table in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Firewall {
    nftables: Nftables,
}

/// The result of a comparison of the table with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restored {
    /// The table was right. Nothing was written.
    Unchanged,
    /// Elements of sets were wrong and are right now. The plugin itself may have been between two steps.
    Elements,
    /// The table was missing, or its chains, rules or sets were wrong: the plugin leaves it so at no time. It is right now.
    Structure,
}

/// Why the table could not be reconciled with the store.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// The kernel rejected a request.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Firewall {
    /// Opens a netlink socket for nftables in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// The socket cannot be opened.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { nftables: Nftables::open()? })
    }

    /// Adds the host ports of a record, and the table if it does not exist. The pod's device must exist: otherwise another process
    /// that reconciles at the same time removes the host ports again.
    ///
    /// # Errors
    ///
    /// See [`FirewallError`].
    pub fn add_pod(&mut self, record: &Record, store: &Store) -> Result<(), FirewallError> {
        if record.host_ports.is_empty() {
            return if self.exists()? { Ok(()) } else { self.reconcile(store).map(drop) };
        }
        let batch = table::additions(record);
        match self.nftables.commit(batch, None) {
            // There is no table, or an element of a pod that no longer exists is in the way.
            Err(error) if error.is_not_found() || table::is_occupied(&error) => self.reconcile(store).map(drop),
            done => {
                done?;
                Ok(connections::delete_untranslated(std::slice::from_ref(record))?)
            }
        }
    }

    /// Removes the host ports of a record. Host ports that do not exist are no error. The pod's device must be removed first:
    /// otherwise another process that reconciles at the same time adds the host ports again.
    ///
    /// # Errors
    ///
    /// The kernel rejected a request.
    pub fn remove_pod(&mut self, record: &Record) -> Result<(), Error> {
        if record.host_ports.is_empty() {
            return Ok(());
        }
        match self.nftables.commit(table::removals(record), None) {
            Err(error) if error.is_not_found() => {
                self.change(|present| Ok::<_, Error>(present.map(|present| table::without(present, record))))?;
            }
            done => done?,
        }
        connections::delete_translated(record)
    }

    /// Repairs the table so that it agrees with the store, as the store is when this function returns. On a node that never had a
    /// pod, there is no table and none is created.
    ///
    /// # Errors
    ///
    /// See [`FirewallError`].
    pub fn reconcile(&mut self, store: &Store) -> Result<Restored, FirewallError> {
        if !self.exists()? && !is_needed(&store.records()?) {
            return Ok(Restored::Unchanged);
        }
        let mut socket = Socket::open(Protocol::Route)?;
        let mut restored = Restored::Unchanged;
        // Compare again after a change: a DEL that read the old table has ended by then.
        loop {
            match self.change(|_| wanted_now(&mut socket, store).map(Some))? {
                Restored::Unchanged => break,
                now => restored = restored.max(now),
            }
        }
        if restored != Restored::Unchanged {
            connections::delete_untranslated(&store.records()?.readable)?;
        }
        Ok(restored)
    }

    /// Removes the table, and returns whether there was one. Host ports no longer work, and source addresses of pods are no longer checked.
    ///
    /// # Errors
    ///
    /// The kernel rejected a request.
    pub fn remove(&mut self) -> Result<bool, Error> {
        let is_there = self.exists()?;
        if is_there {
            self.nftables.commit(Batch::new().remove_table(&table_name()), None)?;
        }
        Ok(is_there)
    }

    /// Whether the table exists, with any content.
    fn exists(&mut self) -> Result<bool, Error> {
        self.nftables.has_table(&table_name())
    }

    /// How the table differs from the store, as one sentence for each difference.
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
            Some(_) => vec![format!("the nftables table {} differs from the records", table_name())],
        })
    }

    /// Changes the table to what `wanted` returns for the present table; `None` means no change. Starts again if another program
    /// changes nftables between reading and writing.
    fn change<E: From<Error>>(
        &mut self,
        mut wanted: impl FnMut(Option<&Table>) -> Result<Option<Table>, E>,
    ) -> Result<Restored, E> {
        for _ in 0..ATTEMPTS {
            let (generation, present) = self.nftables.snapshot(|nftables| nftables.table(&table_name()))?;
            let Some(wanted) = wanted(present.as_ref())? else { return Ok(Restored::Unchanged) };
            let difference = wanted.difference_from(present.as_ref());
            let batch = Batch::new().resolve(&wanted, &difference);
            if batch.is_empty() {
                return Ok(Restored::Unchanged);
            }
            match self.nftables.commit(batch, Some(generation)) {
                Err(error) if is_outdated(&error) => {}
                done => {
                    let restored = match difference {
                        Difference::Structure => Restored::Structure,
                        Difference::Elements(_) | Difference::None => Restored::Elements,
                    };
                    return done.map(|()| restored).map_err(E::from);
                }
            }
        }
        Err(E::from(Error::new("change nftables table", table_name().to_string(), carrick_netlink::Cause::Interrupted)))
    }
}

/// A record that cannot be read belongs to a pod too, and the source addresses of that pod must be checked.
fn is_needed(records: &Records) -> bool {
    !records.readable.is_empty() || !records.unreadable.is_empty()
}

/// Reads the devices after the records: a record whose device does not exist then belongs to a pod that DEL removes.
fn wanted_now(socket: &mut Socket, store: &Store) -> Result<Table, FirewallError> {
    let records = store.records()?.readable;
    let devices: BTreeSet<String> = if records.iter().any(|record| !record.host_ports.is_empty()) {
        link::dump(socket)?.into_iter().map(|link| link.name).collect()
    } else {
        BTreeSet::new()
    };
    Ok(wanted(&records, &devices))
}
