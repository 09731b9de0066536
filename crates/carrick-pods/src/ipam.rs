//! IP address management (IPAM): which pod has which addresses and host ports.
//!
//! The state is in the directory `ipam` of the run directory. The run directory is in a tmpfs: a reboot ends every sandbox, so the state
//! does not need to survive a reboot. `ls -l` and `cat` show the state:
//!
//! ```text
//! ipam/lock                                 locked during changes, for microseconds; holds the addresses that were
//!                                           assigned last, after which the next search starts
//! ipam/attachments/<container>:<interface>  one record for each attachment, as JSON
//! ipam/addresses/<address>                  the claim to an address: a symbolic link to the record of its owner
//! ipam/host-ports/<protocol>-<host address>-<port>   the claim to a host port, likewise
//! ```
//!
//! A process may be killed between any two steps. The order of the steps keeps the state consistent:
//!
//! - ADD writes the record, then makes the claims, then configures the kernel.
//! - DEL removes the devices, then the claims, then the record.
//!
//! So a record leads to everything that a killed process left. A record may name an address that it never claimed. The claim decides
//! who owns an address, so a DEL for such a record does not take the address from its owner.

mod claim;
mod disk;
mod error;
mod lock;
mod pool;
mod record;
mod reservation;
mod store;

pub use error::StoreError;
pub use pool::{Pool, PoolError, pools};
pub use record::Record;
pub use reservation::Reservation;
pub use store::{Records, Store};
