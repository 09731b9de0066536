//! Keys as the protocol writes them: 64 hexadecimal digits.

use std::fmt::Write as _;

use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// The bytes of a key, or `None` for anything but 64 hexadecimal digits.
pub(crate) fn parse_key(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Appends a line with a key in lower-case digits. The text must have room for it: a text that grows leaves a copy of its keys in freed
/// memory.
pub(crate) fn push_key(text: &mut String, key: &str, bytes: &[u8; KEY_BYTES]) {
    text.push_str(key);
    text.push('=');
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
}

fn digit(letter: u8) -> Option<u8> {
    u8::try_from(char::from(letter).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_written_is_read() {
        let bytes = std::array::from_fn(|index| (index * 8) as u8);
        let mut text = String::new();
        push_key(&mut text, "k", &bytes);
        let digits = text.strip_prefix("k=").unwrap().trim_end();
        assert_eq!(*parse_key(digits).unwrap(), bytes);
        assert_eq!(*parse_key(&digits.to_uppercase()).unwrap(), bytes);
    }

    #[test]
    fn wrong_lengths_and_letters_are_refused() {
        let multibyte = format!("{}é", "a".repeat(62));
        for text in ["00", &"g".repeat(64), &"0".repeat(66), &multibyte] {
            assert!(parse_key(text).is_none(), "{text}");
        }
    }
}
