//! The command `carrick page`: fetches a page of the agent on this node through its Unix socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::exit::Exit;

/// How long the agent may be silent.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The end of the head of an answer (RFC 9112 §2.1).
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The pages of an agent, for people.
pub(crate) const PAGES: &str = "/healthz, /readyz, /metrics, /status, /checks, /trace?to=ADDRESS&hops=NUMBER";
/// The status code for a page that the agent does not know (RFC 9110 §15.5.5).
const NOT_FOUND: u16 = 404;

/// The path of a page, such as `/status` or `/trace?to=10.42.0.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagePath(String);

/// A text that is not the path of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a path without spaces and control characters; the pages are {PAGES}")]
pub struct InvalidPagePath;

impl FromStr for PagePath {
    type Err = InvalidPagePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_path { Ok(Self(text.to_owned())) } else { Err(InvalidPagePath) }
    }
}

/// Why a page cannot be fetched.
#[derive(Debug, Error)]
pub enum PageError {
    /// The socket cannot be used.
    #[error("{}: {error}{}", path.display(), hint(error))]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The answer is not HTTP.
    #[error("the answer of the agent is not HTTP")]
    NotHttp,
    /// The agent does not know the page.
    #[error("the agent has no such page; the pages are {PAGES}")]
    UnknownPage,
    /// The agent answers with another status code than 200.
    #[error("the agent answers with HTTP status {code}: {}", body.trim_end())]
    Status {
        /// The status code.
        code: u16,
        /// The body of the answer.
        body: String,
    },
}

impl PageError {
    /// The exit status of the command.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Socket { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => Exit::Permission,
            Self::Socket { .. } | Self::NotHttp | Self::UnknownPage | Self::Status { .. } => Exit::Failure,
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => " (no agent runs on this node)",
        io::ErrorKind::PermissionDenied => " (only root may use the socket)",
        io::ErrorKind::WouldBlock => " (the agent does not answer)",
        _ => "",
    }
}

/// Fetches a page through a socket, and returns the whole answer with its head.
///
/// # Errors
/// The socket cannot be used.
pub fn fetch(socket: &Path, page: &PagePath) -> Result<Vec<u8>, PageError> {
    let exchange = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer is not chunked and ends with the connection.
        write!(stream, "GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", page.0)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    exchange().map_err(|error| PageError::Socket { path: socket.to_owned(), error })
}

/// Takes the body out of an answer.
///
/// # Errors
/// The answer is not HTTP, or has another status code than 200.
pub fn body(mut answer: Vec<u8>) -> Result<Vec<u8>, PageError> {
    let end = answer.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD).ok_or(PageError::NotHttp)?;
    let body = answer.split_off(end + END_OF_HEAD.len());
    let head = String::from_utf8_lossy(&answer);
    let code = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    match code {
        Some(200) => Ok(body),
        Some(NOT_FOUND) => Err(PageError::UnknownPage),
        Some(code) => Err(PageError::Status { code, body: String::from_utf8_lossy(&body).into_owned() }),
        None => Err(PageError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn path(text: &str) -> PagePath {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_cannot_add_lines_to_the_request() {
        assert_eq!(path("/trace?to=10.42.0.1&hops=3").0, "/trace?to=10.42.0.1&hops=3");
        for text in ["", "status", "/a b", "/a\r\nx: y", "/ä"] {
            assert_eq!(text.parse::<PagePath>(), Err(InvalidPagePath), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_page_is_answered_with_the_list_of_pages() {
        let pages = "the pages are /healthz, /readyz, /metrics, /status, /checks, /trace?to=ADDRESS&hops=NUMBER";
        let no_path = "readyz".parse::<PagePath>().unwrap_err().to_string();
        assert_eq!(no_path, format!("expected a path without spaces and control characters; {pages}"));
        let unknown = body(b"HTTP/1.0 404 Not Found\r\n\r\n".to_vec()).unwrap_err();
        assert_eq!(unknown.to_string(), format!("the agent has no such page; {pages}"));
        assert_eq!(unknown.exit(), Exit::Failure);
    }

    #[test]
    fn a_page_comes_through_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(END_OF_HEAD) {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            String::from_utf8(request).unwrap()
        });
        assert_eq!(body(fetch(&socket, &path("/readyz")).unwrap()).unwrap(), b"ok");
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\n"));
        let closed = fetch(&socket, &path("/readyz")).unwrap_err();
        assert!(closed.to_string().contains("no agent runs on this node"), "{closed}");
        assert_eq!(closed.exit(), Exit::Failure);
    }

    #[test]
    fn another_status_than_200_is_an_error_with_the_agents_text() {
        let error = body(b"HTTP/1.0 503 Service Unavailable\r\n\r\nwaiting\n".to_vec()).unwrap_err().to_string();
        assert_eq!(error, "the agent answers with HTTP status 503: waiting");
        assert!(matches!(body(b"SSH-2.0\r\n\r\n".to_vec()), Err(PageError::NotHttp)));
        assert!(matches!(body(b"HTTP/1.0 200 OK\r\n".to_vec()), Err(PageError::NotHttp)));
    }
}
