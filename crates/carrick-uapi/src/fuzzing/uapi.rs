//! One text, read as a request by the server's end and as an answer by the client's end.

use carrick_netlink::wireguard::{DeviceChange, PeerChange, PeerVerb};

use crate::request::capacity;
use crate::{
    ProtocolError, Request, error_number, format_error, format_status, parse_request, read_status, write_request,
};

/// Reads `bytes` as a request and as an answer.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse_request(text) {
        Ok(Request::Get) => assert_eq!(text.lines().next(), Some("get=1")),
        Ok(Request::Set(change)) => check_change(*change),
        Err(error) => check_refusal(text, &error),
    }
    check_status(text);
}

/// What one end writes, the other end reads, and no key is left in memory that was freed.
fn check_change(mut change: DeviceChange) {
    let written = write_request(&change);
    assert!(written.len() <= capacity(&change), "the text of {} bytes has grown", written.len());
    change.peers.iter_mut().for_each(without_effect_on_a_removed_peer);
    assert_eq!(parse_request(&written), Ok(Request::Set(Box::new(change))));
}

fn without_effect_on_a_removed_peer(change: &mut PeerChange) {
    if change.verb == PeerVerb::Remove {
        *change = PeerChange::new(change.public_key, PeerVerb::Remove);
    }
}

/// The error is about the first line that is wrong. It says which key that is and nothing of the value, which may be secret.
fn check_refusal(text: &str, error: &ProtocolError) {
    assert_ne!(error.errno() as i32, 0);
    let said = error.to_string();
    assert!(!said.contains(char::is_control), "{said:?}");
    let (line, key) = match error {
        ProtocolError::UnknownOperation => return,
        ProtocolError::NotKeyValue { line } => (*line, None),
        ProtocolError::UnknownKey { line, key } | ProtocolError::InvalidValue { line, key } => {
            (*line, Some(key.as_str()))
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let before = lines[..line - 1].join("\n");
    assert!(matches!(parse_request(&before), Ok(Request::Set(_))), "line {line} is not the first that is wrong");
    assert_eq!(key, lines[line - 1].split_once('=').map(|(key, _)| key));
}

fn check_status(text: &str) {
    match read_status(text) {
        Ok(device) => assert_eq!(read_status(&format_status(&device)).as_ref(), Ok(&device)),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains('=') && !said.contains(char::is_control), "{said:?}");
        }
    }
    if let Some(errno) = error_number(text) {
        assert_eq!(error_number(&format_error(errno)), Some(errno));
    }
}
