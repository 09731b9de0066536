//! The socket over which `wg` and the agent speak the protocol of [`carrick_uapi`], and the server that answers.

mod server;
mod socket;

pub use server::Server;
pub use socket::{SOCKET_DIRECTORY, SocketError, UapiSocket, is_answering, server_process, socket_path};
