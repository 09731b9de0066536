//! One page over any connection.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No page of an agent is longer than this, in bytes.
const LONGEST: u64 = 256 << 20;

/// What ends the head of an answer.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// How an answer begins.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: String,
    /// Where the body begins.
    body_at: usize,
    /// Its length, where the head says so.
    length: Option<usize>,
}

/// Gets a page. HTTP/1.0 without `keep-alive`: nothing comes in chunks. Whoever forwards a port may notice its end late, so a body whose
/// length is known is not waited for any longer than that.
///
/// # Errors
/// The connection breaks, or the answer is none of success; the reason, in words.
pub(super) async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<Vec<u8>, String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("cannot be asked: {error}"))?;
    let mut stream = stream.take(LONGEST);
    let mut answer = Vec::new();
    let mut wanted = None;
    loop {
        let read = stream.read_buf(&mut answer).await.map_err(|error| format!("its answer broke off: {error}"))?;
        wanted = wanted.or_else(|| head(&answer).and_then(|head| Some(head.body_at + head.length?)));
        if read == 0 || wanted.is_some_and(|wanted| answer.len() >= wanted) {
            return body(answer);
        }
    }
}

fn head(answer: &[u8]) -> Option<Head> {
    let end = answer.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)?;
    let text = String::from_utf8_lossy(&answer[..end]);
    let mut lines = text.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.to_owned();
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some(Head { status, body_at: end + END_OF_HEAD.len(), length })
}

fn body(mut answer: Vec<u8>) -> Result<Vec<u8>, String> {
    let Head { status, body_at, length } =
        head(&answer).ok_or_else(|| "what answers there does not speak HTTP".to_owned())?;
    let body = answer.split_off(body_at);
    if status != "200" {
        return Err(format!("it answers {status}: {}", String::from_utf8_lossy(&body).trim()));
    }
    match length {
        Some(length) if length != body.len() => {
            Err(format!("its answer broke off after {} of {length} bytes", body.len()))
        }
        Some(_) | None => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_connection_is_not_waited_for() {
        let (near, mut far) = tokio::io::duplex(100);
        far.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert_eq!(get(near, "/").await.unwrap(), b"ok");
        drop(far);
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let of = |text: &str| body(text.as_bytes().to_vec()).map(|body| String::from_utf8(body).unwrap());
        assert_eq!(of("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap(), "ok");
        assert_eq!(of("HTTP/1.1 200 OK\r\n\r\nok").unwrap(), "ok");
        assert!(of("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nok").unwrap_err().contains("2 of 3 bytes"));
        assert_eq!(of("HTTP/1.0 503 Busy\r\n\r\nstarting\n").unwrap_err(), "it answers 503: starting");
        for wrong in ["", "SSH-2.0\r\n\r\n", "HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n"] {
            assert!(of(wrong).unwrap_err().contains("HTTP"), "{wrong}");
        }
    }
}
