//! GC: remove everything that belongs to no valid attachment.

use carrick_netlink::{Protocol, Socket, link};
use carrick_pods::firewall::{Firewall, FirewallError};
use carrick_pods::ipam::Store;

use super::del;
use crate::orphan::orphans;
use crate::protocol::{Error, Gc};

/// Detaches the attachments of this network that are not in the runtime's list, removes pod devices and claims without a record,
/// and reconciles the nftables table. Continues after a failure.
///
/// # Errors
///
/// Something could not be removed. The details name all failures.
pub(super) fn gc(call: &Gc) -> Result<(), Error> {
    let Gc { network, valid, run_directory } = call;
    let store = Store::under(run_directory);
    let mut socket = Socket::open(Protocol::Route)?;
    let devices = link::dump(&mut socket)?;
    let records = store.records()?;
    let orphans = orphans(&devices, &records);
    let mut failures: Vec<Error> = records.unreadable.into_iter().map(Error::from).collect();

    let leaked = records.readable.iter().map(|record| &record.attachment).filter(|attachment| {
        attachment.network == *network && !valid.contains(&attachment.container_id, &attachment.interface)
    });
    failures.extend(leaked.filter_map(|attachment| del::detach(&store, attachment).err()));
    for orphan in orphans {
        match socket.execute(&link::delete(orphan.index, &orphan.name)) {
            Err(error) if !error.is_not_found() => failures.push(error.into()),
            _ => {}
        }
    }
    failures.extend(store.tidy().err().map(Error::from));
    if let Err(error) =
        Firewall::open().map_err(FirewallError::from).and_then(|mut firewall| firewall.reconcile(&store))
    {
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
