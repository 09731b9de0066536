//! GC: remove what belongs to no attachment any more.

use carrick_netlink::link::{self, LinkKind};
use carrick_netlink::{Protocol, Socket};
use carrick_topology::contract::POD_DEVICE_PREFIX;

use crate::commands::del;
use crate::firewall::{Firewall, FirewallError};
use crate::ipam::Store;
use crate::protocol::{Code, Error, Gc};

/// Detaches this network's attachments that the runtime does not name, removes pods' devices and frees addresses that no
/// record names, and makes the host ports follow the rest. Goes on past what fails.
///
/// # Errors
///
/// Something could not be removed.
pub(super) fn gc(call: &Gc) -> Result<(), Error> {
    let Gc { network, valid, run_directory } = call;
    let store = Store::under(run_directory);
    let mut socket = Socket::open(Protocol::Route)?;
    // The devices are listed before the records: ADD writes its record first, DEL removes it last.
    let devices = link::dump(&mut socket)?;
    let records = store.records()?;
    let mut failures: Vec<Error> = records.unreadable.into_iter().map(Error::from).collect();

    let (kept, leaked): (Vec<_>, Vec<_>) = records.readable.into_iter().partition(|record| {
        let attachment = &record.attachment;
        attachment.network != *network || valid.contains(&attachment.container_id, &attachment.interface)
    });
    failures.extend(leaked.iter().filter_map(|record| del::detach(&store, &record.attachment).err()));

    let is_owned = |name: &str| kept.iter().chain(&leaked).any(|record| record.device == name);
    let is_ours = |name: &str| name.starts_with(POD_DEVICE_PREFIX) && name.len() == DEVICE_NAME_LENGTH;
    // A record that cannot be read may name any device.
    if failures.iter().all(|failure| failure.code != Code::DamagedState) {
        let orphans = devices.iter().filter(|link| link.kind == LinkKind::Veth && is_ours(&link.name));
        for orphan in orphans.filter(|link| !is_owned(&link.name)) {
            match socket.execute(&link::delete(orphan.index, &orphan.name)) {
                Err(error) if !error.is_not_found() => failures.push(error.into()),
                _ => {}
            }
        }
    }
    failures.extend(store.tidy().err().map(Error::from));
    if let Err(error) = follow(&store) {
        failures.push(error.into());
    }
    match failures.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let details: Vec<&str> = failures.iter().map(|failure| failure.details.as_str()).collect();
            Err(Error::new(first.code, "not everything could be removed", details.join("; ")))
        }
    }
}

const DEVICE_NAME_LENGTH: usize = 14;

/// Without pods ever attached there is no table, and none is made.
fn follow(store: &Store) -> Result<(), FirewallError> {
    let mut firewall = Firewall::open()?;
    if firewall.exists()? {
        firewall.restore(store)?;
    }
    Ok(())
}
