//! Which pod has which address.
//!
//! The state stands in `ipam/` under the run directory, a tmpfs: a reboot ends every sandbox, so nothing
//! needs to survive one. A person can read it with `ls -l` and `cat`:
//!
//! ```text
//! ipam/lock                              locked while the rest is changed, for microseconds; holds the addresses
//!                                        given last, from which the next search starts
//! ipam/attachments/<container>:<device>  one record for each attachment, as JSON
//! ipam/addresses/<address>               a symbolic link to the record that holds the address
//! ipam/host-ports/<protocol>-<host address>-<port>   the same for ports of the host
//! ```
//!
//! A process may die between any two steps, so their order carries the safety:
//!
//! - ADD writes the record, then takes its addresses and host ports; only then is anything configured with them.
//! - DEL removes the devices, then gives all that back, then removes the record.
//!
//! Whatever a crash leaves, a record leads to it. A record may name an address that it never came to take;
//! an address belongs to whom its link names, so nothing is taken from its next owner.

mod claim;
mod disk;
mod pool;
mod record;
mod reservation;
mod store;

pub use pool::{Pool, PoolError, pools};
pub use record::Record;
pub use reservation::Reservation;
pub use store::{Records, Store, StoreError};
