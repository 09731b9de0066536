//! The routing tables that other programs fill.

use carrick_dataplane::route::is_own_table;

/// The kernel's table of local addresses (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u32 = 255;

/// Whether a table holds routes that other programs made.
pub(in crate::agent) fn is_of_host(table: u32) -> bool {
    table != LOCAL_TABLE && !is_own_table(table)
}
