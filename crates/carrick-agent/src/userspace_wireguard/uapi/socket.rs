//! The socket file of the userspace API: its path, the process that serves it, and its replacement.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;
use tokio::net::{UnixListener, unix};

use carrick_topology::DeviceName;

use crate::file_error::{FileError, failed};

/// The directory in which `wg` looks for the sockets of userspace devices.
pub const SOCKET_DIRECTORY: &str = "/run/wireguard";

/// Why the process cannot listen on the socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process serves the interface.
    #[error(
        "{} answers: another process carries this interface already; stop it first",
        path.display()
    )]
    AlreadyServed {
        /// The socket file.
        path: PathBuf,
    },
    /// A file that is not a socket has the socket's path.
    #[error("{} is not a socket: remove it", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A listening socket. Dropping it removes its file.
#[derive(Debug)]
pub struct UapiSocket {
    path: PathBuf,
    listener: UnixListener,
}

/// The socket file of an interface.
pub fn socket_path(interface: &DeviceName) -> PathBuf {
    Path::new(SOCKET_DIRECTORY).join(format!("{interface}.sock"))
}

/// Whether a process serves the interface.
pub fn is_answering(interface: &DeviceName) -> bool {
    UnixStream::connect(socket_path(interface)).is_ok()
}

/// The process that serves the interface, if one does and it runs in this PID namespace.
pub fn server_process(interface: &DeviceName) -> Option<Pid> {
    let stream = UnixStream::connect(socket_path(interface)).ok()?;
    let credentials = getsockopt(&stream, sockopt::PeerCredentials).ok()?;
    // 0 stands for a process of another PID namespace.
    Some(Pid::from_raw(credentials.pid())).filter(|pid| pid.as_raw() > 0)
}

impl UapiSocket {
    /// Checks that no process serves the interface yet.
    ///
    /// # Errors
    /// [`SocketError::AlreadyServed`] or [`SocketError::NotASocket`].
    pub fn ensure_free(interface: &DeviceName) -> Result<(), SocketError> {
        let path = socket_path(interface);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.file_type().is_socket() => Err(SocketError::NotASocket { path }),
            Ok(_) if UnixStream::connect(&path).is_ok() => Err(SocketError::AlreadyServed { path }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Listens at the interface's socket file, mode 0600. Replaces a file that no process serves any more.
    ///
    /// Only the holder of the interface's TUN device may call this: that is what makes the replacement safe.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(interface: &DeviceName) -> Result<Self, SocketError> {
        Self::ensure_free(interface)?;
        let path = socket_path(interface);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(SOCKET_DIRECTORY)
            .map_err(failed("create", Path::new(SOCKET_DIRECTORY)))?;
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!(event = "stale_socket_removed", path = %path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", &path)(error).into()),
        }
        let listener = UnixListener::bind(&path).map_err(failed("listen at", &path))?;
        // Only root may enter the directory, so no other user could connect before.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed("restrict", &path))?;
        Ok(Self { path, listener })
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// See `accept(2)`.
    pub async fn accept(&self) -> io::Result<(unix::OwnedReadHalf, unix::OwnedWriteHalf)> {
        let (stream, _) = self.listener.accept().await?;
        Ok(stream.into_split())
    }
}

impl Drop for UapiSocket {
    fn drop(&mut self) {
        // Nothing is left to do about a file that cannot be removed: the next process replaces it.
        let _ = fs::remove_file(&self.path);
    }
}
