//! One page over any connection.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No page of an agent is longer than this, in bytes.
const LONGEST: u64 = 256 << 20;

/// Gets a page. HTTP/1.0 without `keep-alive`: the end of the connection ends the body, and nothing comes in chunks.
///
/// # Errors
/// The connection breaks, or the answer is none of success; the reason, in words.
pub(super) async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<Vec<u8>, String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("cannot be asked: {error}"))?;
    let mut answer = Vec::new();
    let read = stream.take(LONGEST).read_to_end(&mut answer).await;
    read.map_err(|error| format!("its answer broke off: {error}"))?;
    body(answer)
}

fn body(mut answer: Vec<u8>) -> Result<Vec<u8>, String> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let no_http = || "what answers there does not speak HTTP".to_owned();
    let end = answer.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD).ok_or_else(no_http)?;
    let body = answer.split_off(end + END_OF_HEAD.len());
    let head = String::from_utf8_lossy(&answer);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)).ok_or_else(no_http)?;
    if status != "200" {
        return Err(format!("it answers {status}: {}", String::from_utf8_lossy(&body).trim()));
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
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
