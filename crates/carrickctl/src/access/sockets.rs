//! Agents behind sockets of this machine.

use std::path::Path;

/// What to do where no agent can run.
#[cfg(unix)]
const ELSEWHERE: &str =
    if cfg!(target_os = "linux") { "" } else { "; agents run on their nodes, which run Linux: use a kubeconfig here" };

/// Gets a page of the agent behind a socket.
///
/// # Errors
/// Nobody listens there, or the page cannot be had; the reason, in words.
#[cfg(unix)]
pub(super) async fn get(socket: &Path, path: &str) -> Result<Vec<u8>, String> {
    use std::io::ErrorKind;

    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("no agent runs here: there is no {}{ELSEWHERE}", socket.display()),
        ErrorKind::ConnectionRefused => {
            format!("no agent runs here: nobody listens at {}{ELSEWHERE}", socket.display())
        }
        ErrorKind::PermissionDenied => format!("{}: only root may ask it", socket.display()),
        _ => format!("{}: {error}", socket.display()),
    })?;
    super::http::get(stream, path).await
}

/// Agents run on Linux only, and so do their sockets.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "it stands for one that waits")]
pub(super) async fn get(socket: &Path, _path: &str) -> Result<Vec<u8>, String> {
    Err(format!(
        "{}: agents' sockets exist on their nodes only, which run Linux; use a kubeconfig here",
        socket.display()
    ))
}
