//! The name of the table.

use carrick_netlink::nftables::{TableFamily, TableName};

/// The name of Carrick's table.
#[must_use]
pub fn table_name() -> TableName {
    TableName::new(TableFamily::Inet, "carrick")
}
