//! Answers the clients of the userspace API.

use std::io;
use std::sync::Arc;

use carrick_uapi::{Request, format_error, format_status, parse_request};
use nix::errno::Errno;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use zeroize::{Zeroize as _, Zeroizing};

use super::socket::UapiSocket;
use crate::userspace_wireguard::engine::{ConfigureError, Engine};

/// The largest request in bytes: far above the configuration of 10,000 peers, far below the memory of a node.
const MAXIMUM_REQUEST: usize = 64 << 20;

/// Serves one device to any number of clients.
pub struct Server<E> {
    engine: Arc<E>,
}

impl<E: Engine> Server<E> {
    /// A server for the device behind this engine.
    pub fn new(engine: Arc<E>) -> Self {
        Self { engine }
    }

    /// Serves all clients of the socket, until the process ends.
    pub async fn serve(&self, socket: &UapiSocket) -> std::convert::Infallible {
        loop {
            match socket.accept().await {
                Ok((reader, writer)) => {
                    let engine = Arc::clone(&self.engine);
                    tokio::spawn(async move {
                        let reader = BufReader::new(reader);
                        if let Err(error) = (Server { engine }).converse(reader, writer).await {
                            tracing::debug!(event = "uapi_client_lost", %error);
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(event = "uapi_accept_failed", %error);
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Answers the requests of one client until it hangs up.
    ///
    /// # Errors
    /// Reading or writing failed, or a request has more than 64 MiB.
    pub async fn converse(
        &self,
        mut reader: impl AsyncBufRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        while let Some(request) = read_request(&mut reader, MAXIMUM_REQUEST).await? {
            let answer = self.answer(&request).await;
            writer.write_all(answer.as_bytes()).await?;
            writer.flush().await?;
        }
        Ok(())
    }

    async fn answer(&self, request: &str) -> Zeroizing<String> {
        let (mut text, errno) = match parse_request(request) {
            Ok(Request::Get) => {
                let status = self.engine.status().await;
                (format_status(&status), 0)
            }
            Ok(Request::Set(change)) => {
                let errno = match self.engine.configure(*change).await {
                    Ok(()) => 0,
                    Err(error) => {
                        tracing::warn!(event = "configuration_refused", %error);
                        errno_of(&error) as i32
                    }
                };
                (Zeroizing::default(), errno)
            }
            Err(error) => {
                tracing::warn!(event = "uapi_request_refused", %error);
                (Zeroizing::default(), error.errno() as i32)
            }
        };
        text.push_str(&format_error(errno));
        text
    }
}

/// Reads up to the blank line that ends a request; `None` when the client has hung up. A line without an end is not read beyond `maximum`
/// bytes.
async fn read_request(
    reader: &mut (impl AsyncBufRead + Unpin),
    maximum: usize,
) -> io::Result<Option<Zeroizing<String>>> {
    let mut request = Zeroizing::new(String::new());
    loop {
        let start = request.len();
        let left = u64::try_from(maximum + 1 - start).unwrap_or(u64::MAX);
        let length = (&mut *reader).take(left).read_line(&mut request).await?;
        if length == 0 {
            return Ok(None);
        }
        if request.len() > maximum {
            request.zeroize();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a request of the userspace API is larger than {maximum} bytes"),
            ));
        }
        if &request[start..] == "\n" {
            request.truncate(start);
            return Ok(Some(request));
        }
    }
}

fn errno_of(error: &ConfigureError) -> Errno {
    match error {
        ConfigureError::Port { source, .. } => source.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        ConfigureError::Engine { .. } => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_ends_with_a_blank_line() {
        let mut reader = &b"set=1\nlisten_port=1\n\nget=1\n\nget"[..];
        assert_eq!(*read_request(&mut reader, 100).await.unwrap().unwrap(), "set=1\nlisten_port=1\n");
        assert_eq!(*read_request(&mut reader, 100).await.unwrap().unwrap(), "get=1\n");
        assert_eq!(read_request(&mut reader, 100).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused() {
        let mut endless = BufReader::new(tokio::io::repeat(b'a'));
        let error = read_request(&mut endless, 1000).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let lines = b"a\n".repeat(1000);
        let mut many = &lines[..];
        assert_eq!(read_request(&mut many, 1000).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
