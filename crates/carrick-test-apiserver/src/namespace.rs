//! Work in another network namespace.

use std::os::fd::AsFd;
use std::{io, thread};

use nix::sched::{CloneFlags, setns};

/// Runs `work` in the network namespace that `namespace` refers to, or in the caller's namespace for `None`.
///
/// Sockets and processes that `work` makes belong to that namespace. The calling thread does not change its namespace.
///
/// # Errors
/// The namespace cannot be entered, or `work` panicked.
pub(crate) fn within<T: Send>(
    namespace: Option<&(impl AsFd + Sync)>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let Some(namespace) = namespace else {
        return Ok(work());
    };
    // The network namespace is an attribute of a thread, so a new thread enters it, does the work and ends.
    thread::scope(|scope| {
        let entered = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        });
        entered.join().map_err(|_| io::Error::other("the work in a namespace panicked"))?
    })
}
