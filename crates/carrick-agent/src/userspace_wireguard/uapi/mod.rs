//! WireGuard's userspace API: the text protocol that `wg` and the agent speak over a Unix socket
//! (<https://www.wireguard.com/xplatform/>).

mod hex;
mod protocol;
mod server;
mod socket;

pub use server::Server;
pub use socket::{SOCKET_DIRECTORY, SocketError, UapiSocket, is_answering, server_process, socket_path};
