//! The two ends of `carrickctl test`: a server that sends as many bytes as it is asked for and returns datagrams, and a client that reports how
//! long each answer takes. Both run in pods of the test.
//!
//! Over TCP the client sends a number (4 bytes, most significant first), and the server sends that many bytes. Over UDP the server returns each
//! datagram to its sender, so an answer is never longer than the question.

mod client;
mod server;
mod target;

pub use client::{Outcome, ask};
pub use server::serve;
pub use target::{InvalidTarget, Question, Target};

/// The port of the server.
pub const PORT: u16 = 8080;

/// The most bytes that the server sends on a connection.
const MAXIMUM_BYTES: u32 = 16 << 20;
