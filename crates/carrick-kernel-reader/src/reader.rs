//! A netlink connection of `rtnetlink` in the network namespace of the calling thread.

use std::future::Future;

use futures::{Stream, TryStreamExt as _};
use tokio::runtime::{Builder, Runtime};

/// A connection to the kernel's routing netlink.
#[derive(Debug)]
pub struct Reader {
    runtime: Runtime,
    handle: rtnetlink::Handle,
}

impl Reader {
    /// Opens a connection in the calling thread's network namespace.
    ///
    /// # Panics
    /// The kernel gives no socket.
    #[must_use]
    pub fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let connect = async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("the kernel gives a socket");
            tokio::spawn(connection);
            handle
        };
        let handle = runtime.block_on(connect);
        Self { runtime, handle }
    }

    pub(crate) const fn handle(&self) -> &rtnetlink::Handle {
        &self.handle
    }

    /// All messages of one dump.
    pub(crate) fn dump<M>(&self, messages: impl Stream<Item = Result<M, rtnetlink::Error>>) -> Vec<M> {
        self.block_on(messages.try_collect())
    }

    fn block_on<T>(&self, read: impl Future<Output = Result<T, rtnetlink::Error>>) -> T {
        self.runtime.block_on(read).unwrap_or_else(|error| panic!("the kernel cannot be read: {error}"))
    }
}

/// A link-layer address as `ip` prints it: `02:00:00:00:00:01`.
pub(crate) fn link_layer_address(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
