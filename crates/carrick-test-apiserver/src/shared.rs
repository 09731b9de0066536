//! What the server's thread and its controls share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::fault::Faults;
use crate::request_counts::RequestCounts;
use crate::store::Store;

/// How many commands an open watch may lag behind.
const COMMAND_BACKLOG: usize = 16;

/// A command to all open watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Send a bookmark, if the client allows bookmarks.
    Bookmark,
    /// End, as after a timeout.
    End,
    /// Send 410 Gone and end.
    Gone,
}

/// The state of a server.
pub(crate) struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    request_counts: Mutex<RequestCounts>,
    versions: watch::Sender<u64>,
    commands: broadcast::Sender<Command>,
}

impl Shared {
    pub fn new() -> Self {
        Self {
            store: Mutex::default(),
            faults: Mutex::default(),
            request_counts: Mutex::default(),
            versions: watch::channel(0).0,
            commands: broadcast::channel(COMMAND_BACKLOG).0,
        }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub fn request_counts(&self) -> MutexGuard<'_, RequestCounts> {
        lock(&self.request_counts)
    }

    /// Follows the resource version.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.versions.subscribe()
    }

    /// Receives the commands that are sent from now on.
    pub fn commands(&self) -> broadcast::Receiver<Command> {
        self.commands.subscribe()
    }

    /// Sends a command to all open watches.
    pub fn command(&self, command: Command) {
        // Fails only when no watch is open.
        drop(self.commands.send(command));
    }

    /// Changes the store and wakes the watches.
    pub fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let outcome = change(&mut store);
        let version = store.version();
        drop(store);
        self.versions.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
        outcome
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
