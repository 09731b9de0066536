//! Waiting until packets really pass.
//!
//! The kernel finishes two things behind the back of the request that started them: the end of a pair that
//! was set up first drops all packets until its carrier was noticed, and a pod does not receive what is sent
//! to its new IPv6 address until the address's own route is there. Both take less than a millisecond on an
//! idle machine, and longer where many pods come and go at once.

use std::thread;
use std::time::Duration;

use carrick_netlink::link;
use carrick_netlink::route::{self, Kind};

use super::{Sockets, Wiring};
use crate::protocol::{Code, Error};

const INTERVAL: Duration = Duration::from_millis(1);
const ATTEMPTS: u32 = 5_000;

impl Wiring<'_> {
    /// Waits until both ends pass packets.
    ///
    /// # Errors
    ///
    /// They still do not after some seconds, or the kernel could not be asked.
    pub(super) fn settle(&self, sockets: &mut Sockets) -> Result<(), Error> {
        let device = self.host_device();
        until(&format!("{device} gets no carrier"), || Ok(link::by_name(&mut sockets.host, device)?.operational))?;
        for address in self.record.addresses.iter().filter(|address| address.is_ipv6()) {
            until(&format!("the pod does not take {address} as its own"), || {
                Ok(route::lookup(&mut sockets.pod, *address, 0)?.kind == Kind::Local)
            })?;
        }
        Ok(())
    }
}

fn until(problem: &str, mut ready: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        if ready()? {
            return Ok(());
        }
        thread::sleep(INTERVAL);
    }
    Err(Error::new(Code::Kernel, "the pod's devices do not become usable", problem))
}
