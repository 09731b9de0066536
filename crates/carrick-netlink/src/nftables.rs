//! nftables by netlink: tables as values, encoded into one transaction, read back and compared.
//!
//! A [`Table`] says what is wanted. [`Nftables::table`] inside [`Nftables::snapshot`] reads what is there,
//! [`Table::difference_from`] compares both, [`Batch::resolve`] makes the changes of the difference and
//! [`Nftables::commit`] carries them out together or not at all. The vocabulary is small: what Carrick's own
//! tables need, in the form in which `nft list` prints it readably.

pub(crate) mod abi;
pub(crate) mod attribute;
mod batch;
mod compare;
mod connection;
mod counter;
mod expression;
mod generation;
mod interval;
mod listed_rule;
pub(crate) mod read;
mod rule;
mod set;
mod table;

pub use batch::{Batch, TableName};
pub use compare::{Difference, ElementChange};
pub use connection::{ListedChain, Nftables, is_outdated};
pub use counter::RuleCounter;
pub use expression::{
    ConntrackKey, ConntrackState, Direction, Expression, Header, Membership, MetaKey, Operator, PortChoice, Register,
    Verdict,
};
pub use generation::Generation;
pub use interval::Intervals;
pub use listed_rule::ListedRule;
pub use rule::{AddressMatch, InterfaceMatch, Origin, Rule, UDP};
pub use set::{Elements, Field, Key, Set, Target, Value};
pub use table::{BaseChain, Chain, ChainKind, Hook, Policy, Table, TableFamily, priority};
