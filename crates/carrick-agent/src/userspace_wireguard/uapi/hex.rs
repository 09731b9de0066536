//! Keys as the userspace API writes them: 64 hexadecimal digits.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::key::KEY_LENGTH;

/// The 32 bytes of a key, or `None` for anything else than 64 hexadecimal digits.
pub fn decode(text: &str) -> Option<Zeroizing<[u8; KEY_LENGTH]>> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_LENGTH {
        return None;
    }
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A key as 64 lower-case hexadecimal digits, wiped on drop.
pub fn encode(bytes: &[u8; KEY_LENGTH]) -> Zeroizing<String> {
    // Room for all of it, so that no copy stays behind when the text grows.
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LENGTH));
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn digit(letter: u8) -> Option<u8> {
    let value = char::from(letter).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_round_trip() {
        let bytes = std::array::from_fn(|index| (index * 8) as u8);
        assert_eq!(*decode(&encode(&bytes)).unwrap(), bytes);
        assert_eq!(decode(&encode(&bytes).to_uppercase()).unwrap().as_slice(), bytes);
    }

    #[test]
    fn wrong_lengths_and_letters_are_refused() {
        assert!(decode("00").is_none());
        assert!(decode(&"g".repeat(64)).is_none());
        assert!(decode(&"0".repeat(66)).is_none());
    }
}
