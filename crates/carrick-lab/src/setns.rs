//! Work in another network namespace.

use std::{io, os::fd::AsFd, thread};

use nix::sched::{CloneFlags, setns};

/// Runs `work` in the network namespace that `namespace` refers to, or in the caller's for `None`.
/// Sockets and processes that it makes belong there; the calling thread stays where it is.
///
/// # Errors
///
/// The namespace cannot be entered, or `work` panicked.
pub(crate) fn within<T: Send>(
    namespace: Option<&(impl AsFd + Sync)>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let Some(namespace) = namespace else {
        return Ok(work());
    };
    // A namespace belongs to a thread: this one enters it, does the work and ends.
    thread::scope(|scope| {
        let entered = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        });
        entered.join().map_err(|_| io::Error::other("the work in a namespace panicked"))?
    })
}
