//! Waiting until the veth pair passes packets.
//!
//! The kernel completes two steps after it has confirmed the request. The end that was set up first drops packets until the kernel
//! notices its carrier. The pod does not receive packets to a new IPv6 address until the kernel has added the address's local route.
//! Both take less than a millisecond on an idle machine, and longer if many pods start or stop at the same time.

use std::thread;
use std::time::Duration;

use carrick_netlink::link;
use carrick_netlink::route::{self, Kind};

use super::veth::{Sockets, Wiring};
use crate::protocol::{Code, Error};

const INTERVAL: Duration = Duration::from_millis(1);
const ATTEMPTS: u32 = 5_000;

impl Wiring<'_> {
    /// Waits until both ends pass packets.
    ///
    /// # Errors
    ///
    /// An end passes no packets after several seconds, or the kernel cannot be read.
    pub(super) fn settle(&self, sockets: &mut Sockets) -> Result<(), Error> {
        let device = self.host_device();
        until(&format!("{device} has no carrier"), || Ok(link::by_name(&mut sockets.host, device)?.operational))?;
        for address in self.record.addresses.iter().filter(|address| address.is_ipv6()) {
            until(&format!("the pod has no local route to {address}"), || {
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
    Err(Error::new(Code::Kernel, "the pod's veth pair passes no packets", problem))
}
