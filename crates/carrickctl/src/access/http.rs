//! One HTTP request over an existing connection.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::fetch_error::FetchError;

/// The length at which an answer is cut, in bytes. No page of an agent is that long.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// The end of the head of an answer.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The offset of the body, in bytes.
    body_at: usize,
    /// The length of the body, if the head contains it, in bytes.
    length: Option<usize>,
}

/// Fetches a page with HTTP/1.0 and without `keep-alive`, so that the answer is not chunked. It returns as soon as it has a
/// body of the length that the head contains.
///
/// # Errors
/// The connection breaks, or the answer has another status code than 200.
pub(super) async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: &str) -> Result<Vec<u8>, FetchError> {
    let interrupted = |error: std::io::Error| FetchError::Interrupted(error.to_string());
    let request = format!("GET {page} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(interrupted)?;
    let mut stream = stream.take(MAX_ANSWER_BYTES);
    let mut answer = Vec::new();
    let mut expected = None;
    loop {
        let read = stream.read_buf(&mut answer).await.map_err(interrupted)?;
        expected = expected.or_else(|| head(&answer).and_then(|head| Some(head.body_at + head.length?)));
        if read == 0 || expected.is_some_and(|expected| answer.len() >= expected) {
            return body(answer);
        }
    }
}

fn head(answer: &[u8]) -> Option<Head> {
    let end = answer.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)?;
    let text = String::from_utf8_lossy(&answer[..end]);
    let mut lines = text.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some(Head { status, body_at: end + END_OF_HEAD.len(), length })
}

pub(crate) fn body(mut answer: Vec<u8>) -> Result<Vec<u8>, FetchError> {
    let Head { status, body_at, length } = head(&answer).ok_or(FetchError::NotHttp)?;
    let body = answer.split_off(body_at);
    if status != 200 {
        return Err(FetchError::Status { code: status, body: String::from_utf8_lossy(&body).trim().to_owned() });
    }
    match length {
        Some(length) if length != body.len() => {
            Err(FetchError::Interrupted(format!("{} of {length} bytes received", body.len())))
        }
        Some(_) | None => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_complete_body_does_not_wait_for_the_end_of_the_connection() {
        let (near, mut far) = tokio::io::duplex(100);
        far.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert_eq!(get(near, "/").await.unwrap(), b"ok");
        drop(far);
    }

    #[test]
    fn a_body_is_complete_or_an_error() {
        let of = |text: &str| body(text.as_bytes().to_vec()).map(|body| String::from_utf8(body).unwrap());
        assert_eq!(of("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap(), "ok");
        assert_eq!(of("HTTP/1.1 200 OK\r\n\r\nok").unwrap(), "ok");
        assert_eq!(
            of("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nok"),
            Err(FetchError::Interrupted("2 of 3 bytes received".to_owned()))
        );
        assert_eq!(
            of("HTTP/1.0 503 Busy\r\n\r\nstarting\n"),
            Err(FetchError::Status { code: 503, body: "starting".to_owned() })
        );
        for answer in ["", "SSH-2.0\r\n\r\n", "HTTP/1.0\r\n\r\n", "HTTP/1.0 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n"] {
            assert_eq!(of(answer), Err(FetchError::NotHttp), "{answer}");
        }
    }
}
