//! Access to agents through sockets of this machine.

use std::path::Path;

use crate::fetch_error::FetchError;

/// Fetches a page of the agent behind a socket.
///
/// # Errors
/// No agent listens there, or the page cannot be fetched.
#[cfg(unix)]
pub(super) async fn get(socket: &Path, page: &str) -> Result<Vec<u8>, FetchError> {
    use std::io::ErrorKind;

    let path = || socket.to_owned();
    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => FetchError::NoSocket { path: path() },
        ErrorKind::ConnectionRefused => FetchError::SocketClosed { path: path() },
        ErrorKind::PermissionDenied => FetchError::SocketForbidden { path: path() },
        _ => FetchError::Socket { path: path(), reason: error.to_string() },
    })?;
    super::http::get(stream, page).await
}

/// Agents run only on Linux, so that there are no sockets on this platform.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "the function has the signature of the one for Unix")]
pub(super) async fn get(socket: &Path, _page: &str) -> Result<Vec<u8>, FetchError> {
    Err(FetchError::NoSocket { path: socket.to_owned() })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_and_a_socket_without_a_process_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        assert_eq!(get(&path, "/status").await, Err(FetchError::NoSocket { path: path.clone() }));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(get(&path, "/status").await, Err(FetchError::SocketClosed { path }));
    }
}
