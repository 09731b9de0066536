//! DEL: detach a pod.

use carrick_netlink::{Protocol, Socket};

use crate::protocol::{Del, Error};
use crate::wiring::disconnect;
use carrick_pods::Attachment;
use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::{Store, StoreError};

/// Detaches a pod: removes the devices, then gives the addresses back. What is gone already is fine, and the
/// pod's namespace is not looked at: it may be gone, or be another pod's by now.
///
/// # Errors
///
/// The kernel or the file system failed; then the addresses stay reserved.
pub(super) fn del(call: &Del) -> Result<(), Error> {
    let Del { attachment, run_directory } = call;
    let store = Store::under(run_directory);
    if store.find(attachment).is_ok_and(|found| found.is_some_and(|it| it.attachment.network != attachment.network)) {
        return Ok(());
    }
    detach(&store, attachment)
}

/// Removes devices and host ports, then gives back what the store keeps.
///
/// # Errors
///
/// The kernel or the file system failed; then the addresses stay reserved.
pub(super) fn detach(store: &Store, attachment: &Attachment) -> Result<(), Error> {
    disconnect(&mut Socket::open(Protocol::Route)?, &attachment.host_device())?;
    match store.find(attachment) {
        Ok(Some(record)) if !record.host_ports.is_empty() => Firewall::open()?.withdraw(&record)?,
        Ok(_) => {}
        // Its ports cannot be told any more; what no record names goes.
        Err(StoreError::Damaged { .. }) => {
            store.release(attachment)?;
            Firewall::open()?.follow(store)?;
        }
        Err(error) => return Err(error.into()),
    }
    store.release(attachment)?;
    Ok(())
}
