//! DEL: detach a pod.

use carrick_netlink::{Protocol, Socket};
use carrick_pods::Attachment;
use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::{Store, StoreError};

use crate::protocol::{Del, Error};
use crate::wiring::disconnect;

/// Detaches a pod: removes the devices, then releases the addresses. Objects that do not exist are no error. The pod's namespace is
/// not used: it may not exist any more, or belong to another pod.
///
/// # Errors
///
/// The kernel or the file system failed. The addresses stay reserved.
pub(super) fn del(call: &Del) -> Result<(), Error> {
    let Del { attachment, run_directory } = call;
    let store = Store::under(run_directory);
    if store.find(attachment).is_ok_and(|found| found.is_some_and(|it| it.attachment.network != attachment.network)) {
        return Ok(());
    }
    detach(&store, attachment)
}

/// Removes the devices and host ports of an attachment, then its record and claims.
///
/// # Errors
///
/// The kernel or the file system failed. The addresses stay reserved.
pub(super) fn detach(store: &Store, attachment: &Attachment) -> Result<(), Error> {
    disconnect(&mut Socket::open(Protocol::Route)?, &attachment.host_device())?;
    match store.find(attachment) {
        Ok(Some(record)) if !record.host_ports.is_empty() => Firewall::open()?.remove_pod(&record)?,
        Ok(_) => {}
        // The record does not name its host ports, so every host port without a record is removed.
        Err(StoreError::Damaged { .. }) => {
            store.release(attachment)?;
            Firewall::open()?.reconcile(store)?;
        }
        Err(error) => return Err(error.into()),
    }
    store.release(attachment)?;
    Ok(())
}
