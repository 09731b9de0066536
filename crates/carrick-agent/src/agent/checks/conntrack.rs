//! The kernel's connection tracking table.

use std::fs::read_to_string;
use std::io::{Error, ErrorKind};

use carrick_status::ConntrackTable;

/// The table of the calling thread's network namespace; `None` if the kernel has none.
///
/// # Errors
/// The kernel's files cannot be read, or do not contain numbers.
pub(super) fn table() -> Result<Option<ConntrackTable>, Error> {
    Ok(match (number("nf_conntrack_count")?, number("nf_conntrack_max")?) {
        (Some(count), Some(max)) => Some(ConntrackTable { count, max }),
        (None, _) | (_, None) => None,
    })
}

fn number(name: &str) -> Result<Option<u64>, Error> {
    match read_to_string(format!("/proc/sys/net/netfilter/{name}")) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| Error::new(ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
