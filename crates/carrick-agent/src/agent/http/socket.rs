//! The Unix socket with all pages, which only root may use.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::UnixListener;

/// The name of the socket in the directory of runtime files.
pub const SOCKET: &str = "agent.sock";

/// Listens on the socket in this directory. It replaces a socket that is there: the agent holds the lock of the state directory, so the socket is
/// that of an agent that has ended.
///
/// The socket gets its mode before it gets its name, so that no other user can ever connect to it.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn listen(directory: &Path) -> io::Result<UnixListener> {
    let (socket, new) = (directory.join(SOCKET), directory.join(format!("{SOCKET}.new")));
    carrick_files::remove_file_if_present(&new)?;
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    std::fs::rename(&new, &socket)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;
    use crate::agent::Status;
    use crate::agent::http::{limits::Limits, pages, server};
    use crate::agent::metrics::{HttpListener, HttpMetrics};

    #[tokio::test]
    async fn the_socket_is_for_root_and_replaces_that_of_an_agent_that_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SOCKET);
        drop(listen(directory.path()).unwrap());
        assert!(UnixStream::connect(&path).await.is_err(), "no process listens on the old socket");

        let pages = pages::private_pages(Status::new("me".parse().unwrap()));
        let listener = listen(directory.path()).unwrap();
        let server = server::serve(listener, pages, Limits::SOCKET, HttpListener::Socket, HttpMetrics::default());
        let server = tokio::spawn(server);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        server.abort();
        let files: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, [SOCKET]);
    }
}
