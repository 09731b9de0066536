//! The real binary, as a runtime calls it, in network namespaces made for each test.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attach;
mod call;
mod chain;
mod check;
mod conversation;
mod crash;
mod detach;
mod garbage;
mod host_port;
mod isolation;
mod node;
mod parallel;
mod protocol;
mod refuse;
mod requests;
mod storm;
mod traffic;
mod view;
