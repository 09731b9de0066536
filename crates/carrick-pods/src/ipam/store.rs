//! The store: records and claims as files. The module [`super`] describes the layout and the order of steps.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use carrick_netlink::Family;

use super::claim::{ADDRESSES, ATTACHMENTS, Claim, HOST_PORTS, names};
use super::disk;
use super::error::{StoreError, at};
use super::lock;
use super::pool::Pool;
use super::record::Record;
use super::reservation::Reservation;
use crate::attachment::Attachment;

/// The length of the text in the lock file: enough for one address of each family.
const CURSOR_LENGTH: usize = 64;
/// After this number of claimed addresses in a row, the search reads all claims at once.
const PROBES: usize = 64;

/// The state of one node. The first attachment creates its files.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// All records of a node.
#[derive(Debug, Default)]
pub struct Records {
    /// The records that can be read, ordered by attachment. Each names only the addresses and host ports that it has claimed.
    pub readable: Vec<Record>,
    /// Why the other records cannot be read.
    pub unreadable: Vec<StoreError>,
}

impl Store {
    /// The store in a run directory. Reads and writes nothing.
    #[must_use]
    pub fn under(run_directory: &Path) -> Self {
        Self { directory: run_directory.join("ipam") }
    }

    /// Reserves one address of each pool, a requested one or a free one, and the host ports: writes the record and makes the claims.
    ///
    /// # Errors
    ///
    /// The attachment already has a record, a pool is exhausted, a requested address or host port is not available, or the file
    /// system failed. Then nothing is reserved.
    pub fn reserve(&self, reservation: Reservation, pools: &[Pool]) -> Result<Record, StoreError> {
        let lock = self.lock_or_create()?;
        let Reservation { attachment, pod, addresses: requested, mac, host_ports, ingress, egress } = reservation;
        let path = self.record_path(&attachment);
        if path.try_exists().map_err(at(&path))? {
            return Err(StoreError::AttachedAlready(attachment));
        }
        let last = last_assigned(&lock);
        let addresses = self.addresses(&requested, &last, pools)?;
        for port in &host_ports {
            let claim = Claim::host_port(port);
            if let Some(owner) = self.owner(&claim)? {
                return Err(StoreError::HostPortInUse(*port, self.describe(&owner)));
            }
        }
        let device = attachment.host_device();
        let record = Record { attachment, pod, device, addresses, mac, host_ports, ingress, egress };
        let content = serde_json::to_vec(&record).map_err(|error| at(&path)(error.into()))?;
        let temporary = self.temporary();
        let staged = disk::stage(&temporary, &content).map_err(at(&temporary))?;
        disk::rename(staged, &path).map_err(at(&path))?;
        if let Err(error) = self.claim(&record) {
            let _first_error_counts = self.remove(&record.attachment, Claim::of(&record));
            return Err(error);
        }
        self.remember(&lock, &record, &requested, &last)?;
        Ok(record)
    }

    /// Removes all claims of the attachment and its record. An attachment without a record is no error.
    ///
    /// # Errors
    ///
    /// The file system failed.
    pub fn release(&self, attachment: &Attachment) -> Result<(), StoreError> {
        let _locked = match self.lock() {
            Err(StoreError::InputOutput { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            locked => locked?,
        };
        match self.find(attachment) {
            Ok(None) => {
                let temporary = self.temporary();
                disk::remove(&temporary).map_err(at(&temporary))
            }
            Ok(Some(record)) => self.remove(attachment, Claim::of(&record)),
            Err(StoreError::Damaged { .. }) => {
                // The record does not name the claims, so all claims are searched.
                let all = Claim::all(&self.directory).map_err(at(&self.directory))?;
                let own = all.into_iter().filter(|(_, owner)| *owner == attachment.key());
                self.remove(attachment, own.map(|(claim, _)| claim))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the claims of attachments without a record, and an incomplete record.
    ///
    /// # Errors
    ///
    /// The file system failed.
    pub fn tidy(&self) -> Result<(), StoreError> {
        let _locked = match self.lock() {
            Err(StoreError::InputOutput { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            locked => locked?,
        };
        let temporary = self.temporary();
        disk::remove(&temporary).map_err(at(&temporary))?;
        let keys = names(&self.directory.join(ATTACHMENTS)).map_err(at(&self.directory))?;
        let claims = Claim::all(&self.directory).map_err(at(&self.directory))?;
        for (claim, _) in claims.into_iter().filter(|(_, owner)| !keys.contains(owner)) {
            let path = claim.path(&self.directory);
            disk::remove(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// The record of an attachment; `None` if it has none.
    ///
    /// # Errors
    ///
    /// The record is damaged, or the file system failed.
    pub fn find(&self, attachment: &Attachment) -> Result<Option<Record>, StoreError> {
        read(&self.record_path(attachment))
    }

    /// The records of all attachments. Neither this function nor [`Store::find`] takes the lock: every change of a record or claim
    /// takes effect in one step. A record that is written or removed at the same time may or may not be in the result.
    ///
    /// # Errors
    ///
    /// The directory of records cannot be read. A directory that does not exist has no records.
    pub fn records(&self) -> Result<Records, StoreError> {
        let directory = self.directory.join(ATTACHMENTS);
        let mut records = Records::default();
        for name in names(&directory).map_err(at(&directory))? {
            let held = |record: Record| self.with_own_claims(record);
            match read(&directory.join(name)).and_then(|record| record.map(held).transpose()) {
                Ok(record) => records.readable.extend(record),
                Err(error) => records.unreadable.push(error),
            }
        }
        records.readable.sort_by(|a, b| a.attachment.cmp(&b.attachment));
        Ok(records)
    }

    /// The contradictions between records and claims, as one sentence each.
    ///
    /// # Errors
    ///
    /// The file system failed.
    pub fn inconsistencies(&self) -> Result<Vec<String>, StoreError> {
        let mut problems = Vec::new();
        let directory = self.directory.join(ATTACHMENTS);
        let keys = names(&directory).map_err(at(&directory))?;
        for key in &keys {
            match read(&directory.join(key)) {
                Err(error @ StoreError::Damaged { .. }) => problems.push(format!("a record is damaged: {error}")),
                Err(error) => return Err(error),
                Ok(None) => {}
                Ok(Some(record)) => {
                    for claim in Claim::of(&record) {
                        match self.owner(&claim)? {
                            Some(owner) if owner == *key => {}
                            Some(owner) => problems.push(format!("{key} names {claim}, which belongs to {owner}")),
                            None => problems.push(format!("{key} names {claim}, which is not claimed")),
                        }
                    }
                }
            }
        }
        let claims = Claim::all(&self.directory).map_err(at(&self.directory))?;
        let orphans = claims.into_iter().filter(|(_, owner)| !keys.contains(owner));
        problems.extend(orphans.map(|(claim, owner)| format!("{claim} belongs to {owner}, which has no record")));
        Ok(problems)
    }

    /// When the record of the attachment was written.
    ///
    /// # Errors
    ///
    /// There is no record, or the file system failed.
    pub fn since(&self, attachment: &Attachment) -> Result<SystemTime, StoreError> {
        let path = self.record_path(attachment);
        fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(at(&path))
    }

    /// Whether the attachment has claimed the address.
    ///
    /// # Errors
    ///
    /// The file system failed.
    pub fn holds(&self, attachment: &Attachment, address: IpAddr) -> Result<bool, StoreError> {
        self.has(attachment, &Claim::address(address))
    }

    /// One address of each pool: the requested one, or a free one.
    fn addresses(&self, requested: &[IpAddr], last: &[IpAddr], pools: &[Pool]) -> Result<Vec<IpAddr>, StoreError> {
        if let Some(address) = requested.iter().find(|address| !pools.iter().any(|pool| pool.contains(**address))) {
            return Err(StoreError::OutOfRange(*address));
        }
        let of_pool = |addresses: &[IpAddr], pool: &Pool| {
            addresses.iter().copied().find(|address| Family::from(*address) == pool.family())
        };
        let address = |pool: &Pool| match of_pool(requested, pool) {
            None => self.free_address(pool, of_pool(last, pool)),
            Some(address) => match self.owner(&Claim::address(address))? {
                None => Ok(address),
                Some(owner) => Err(StoreError::AddressInUse(address, self.describe(&owner))),
            },
        };
        pools.iter().map(address).collect()
    }

    fn free_address(&self, pool: &Pool, last: Option<IpAddr>) -> Result<IpAddr, StoreError> {
        for address in pool.after(last).take(PROBES) {
            let path = Claim::address(address).path(&self.directory);
            match path.symlink_metadata() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(address),
                Err(source) => return Err(StoreError::InputOutput { path, source }),
            }
        }
        let directory = self.directory.join(ADDRESSES);
        let taken = names(&directory).map_err(at(&directory))?;
        let mut rest = pool.after(last).skip(PROBES);
        rest.find(|address| !taken.contains(&address.to_string())).ok_or(StoreError::Exhausted(pool.family()))
    }

    /// The record with only those addresses and host ports that it has claimed. A record of a killed process may name others.
    fn with_own_claims(&self, mut record: Record) -> Result<Record, StoreError> {
        let mut addresses = Vec::new();
        for address in &record.addresses {
            if self.has(&record.attachment, &Claim::address(*address))? {
                addresses.push(*address);
            }
        }
        let mut host_ports = Vec::new();
        for port in &record.host_ports {
            if self.has(&record.attachment, &Claim::host_port(port))? {
                host_ports.push(*port);
            }
        }
        (record.addresses, record.host_ports) = (addresses, host_ports);
        Ok(record)
    }

    fn claim(&self, record: &Record) -> Result<(), StoreError> {
        for claim in Claim::of(record) {
            claim.make(&self.directory, &record.attachment).map_err(at(&claim.path(&self.directory)))?;
        }
        Ok(())
    }

    fn remove(&self, attachment: &Attachment, claims: impl Iterator<Item = Claim>) -> Result<(), StoreError> {
        for claim in claims {
            claim.remove(&self.directory, attachment).map_err(at(&claim.path(&self.directory)))?;
        }
        let path = self.record_path(attachment);
        disk::remove(&path).map_err(at(&path))
    }

    /// Saves the addresses after which the next search starts. A requested address does not change them. If a crash damages the saved
    /// text, the next search only starts at the first address again.
    fn remember(&self, lock: &File, record: &Record, requested: &[IpAddr], last: &[IpAddr]) -> Result<(), StoreError> {
        let given = record.addresses.iter().filter(|address| !requested.contains(address));
        let mut cursors: Vec<IpAddr> = given.copied().collect();
        let kept = last.iter().filter(|last| !cursors.iter().any(|given| given.is_ipv4() == last.is_ipv4()));
        cursors.extend(kept.copied().collect::<Vec<_>>());
        let mut content = cursors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        content.push('\n');
        let content = format!("{content:<CURSOR_LENGTH$}");
        disk::overwrite(lock, content.as_bytes()).map_err(at(&self.lock_path()))
    }

    fn has(&self, attachment: &Attachment, claim: &Claim) -> Result<bool, StoreError> {
        Ok(self.owner(claim)?.is_some_and(|owner| owner == attachment.key()))
    }

    fn owner(&self, claim: &Claim) -> Result<Option<String>, StoreError> {
        claim.owner(&self.directory).map_err(at(&claim.path(&self.directory)))
    }

    /// The name of the pod; the key if the name is not known.
    fn describe(&self, key: &str) -> String {
        match read(&self.directory.join(ATTACHMENTS).join(key)) {
            Ok(Some(record)) => record.title(),
            Ok(None) | Err(_) => key.to_owned(),
        }
    }

    /// Locks the store until the file is closed.
    fn lock(&self) -> Result<File, StoreError> {
        lock::acquire(&self.lock_path(), lock::LIMIT)
    }

    /// Locks the store, and creates its files first if necessary. The lock file is created last: if it exists, the directories exist.
    fn lock_or_create(&self) -> Result<File, StoreError> {
        match self.lock() {
            Err(StoreError::InputOutput { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            locked => return locked,
        }
        for kind in [ATTACHMENTS, ADDRESSES, HOST_PORTS] {
            let directory = self.directory.join(kind);
            DirBuilder::new().recursive(true).create(&directory).map_err(at(&directory))?;
        }
        lock::create(&self.lock_path())?;
        self.lock()
    }

    fn lock_path(&self) -> PathBuf {
        self.directory.join("lock")
    }

    fn record_path(&self, attachment: &Attachment) -> PathBuf {
        self.directory.join(ATTACHMENTS).join(attachment.key())
    }

    /// The temporary file of a new record. It is not in the directory of records, and it is used under the lock only.
    fn temporary(&self) -> PathBuf {
        self.directory.join("record.new")
    }
}

fn last_assigned(lock: &File) -> Vec<IpAddr> {
    let mut content = [0; CURSOR_LENGTH];
    let length = lock.read_at(&mut content, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&content[..length]);
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn read(path: &Path) -> Result<Option<Record>, StoreError> {
    match fs::read(path) {
        Ok(content) => serde_json::from_slice(&content)
            .map(Some)
            .map_err(|source| StoreError::Damaged { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(at(path)(source)),
    }
}

#[cfg(test)]
mod replay;
#[cfg(test)]
mod tests;
