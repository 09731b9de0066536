//! The plugin's program, called as a container runtime calls it, in network namespaces that each test creates.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attach;
mod call;
mod chain;
mod check;
mod crash;
mod detach;
mod echo;
mod gc;
mod host_port;
mod isolation;
mod loopback;
mod node;
mod parallel;
mod protocol;
mod refuse;
mod requests;
mod storm;
mod traffic;
mod view;
