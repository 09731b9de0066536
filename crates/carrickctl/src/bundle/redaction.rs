//! Removes every text that could be a key and is not a known public key.

use std::collections::BTreeSet;

use carrick_topology::PublicKey;

use crate::snapshot::Snapshot;

/// The replacement for a removed text.
const REPLACEMENT: &str = "REDACTED";
/// The lengths of 32 bytes in base64, without and with padding.
const BASE64_LENGTHS: [usize; 2] = [43, 44];
/// The length of 32 bytes in hexadecimal digits.
const HEXADECIMAL_LENGTH: usize = 64;

/// The public keys, which are not removed.
#[derive(Debug)]
pub(super) struct Redaction {
    public: BTreeSet<String>,
}

impl Redaction {
    /// The public keys of a snapshot: those of the peers in plans, on devices and in objects.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let cluster = snapshot.cluster();
        let pages = snapshot.pages().flat_map(|(_, page)| {
            let planned = page.plan.iter().flat_map(|plan| plan.wireguard.peers.keys().copied());
            page.peers.keys().copied().chain(planned).collect::<Vec<PublicKey>>()
        });
        let nodes = cluster.nodes.values().filter_map(|node| node.public_key);
        let peers = cluster.peers.values().map(|peer| peer.public_key);
        Self { public: pages.chain(nodes).chain(peers).map(|key| key.to_string()).collect() }
    }

    /// The text without possible private and preshared keys, and the number of removed texts.
    pub(super) fn clean(&self, text: &str) -> (String, usize) {
        let mut clean = String::with_capacity(text.len());
        let mut count = 0;
        let mut rest = text;
        while let Some(start) = rest.find(is_word_character) {
            clean += &rest[..start];
            rest = &rest[start..];
            let end = rest.find(|character| !is_word_character(character)).unwrap_or(rest.len());
            let word = &rest[..end];
            if self.is_suspect(word) {
                clean += REPLACEMENT;
                count += 1;
            } else {
                clean += word;
            }
            rest = &rest[end..];
        }
        (clean + rest, count)
    }

    fn is_suspect(&self, word: &str) -> bool {
        let is_hexadecimal = word.len() == HEXADECIMAL_LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_base64 = BASE64_LENGTHS.contains(&word.len())
            && word
                .trim_end_matches('=')
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        // A key may follow the `=` of an assignment.
        let after_sign = word.trim_end_matches('=').rsplit_once('=').map(|(_, value)| value);
        is_hexadecimal
            || (is_base64 && !self.public.contains(word))
            || after_sign.is_some_and(|value| self.is_suspect_value(value))
    }

    fn is_suspect_value(&self, value: &str) -> bool {
        BASE64_LENGTHS.contains(&value.len()) && !self.public.contains(&format!("{value}="))
            || value.len() == HEXADECIMAL_LENGTH && value.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

fn is_word_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PRIVATE: &str = "qA7eUhrEe0vCA1xq8AKpKSYRmkLMoLWnHxmGxbxs8Go=";

    fn clean(text: &str) -> (String, usize) {
        Redaction { public: BTreeSet::from([PUBLIC.to_owned()]) }.clean(text)
    }

    #[test]
    fn only_public_keys_are_kept() {
        let text = format!("{{\"publicKey\": \"{PUBLIC}\", \"presharedKey\": \"{PRIVATE}\"}}");
        assert_eq!(clean(&text), (text.replace(PRIVATE, REPLACEMENT), 1));
    }

    #[test]
    fn keys_are_removed_in_every_form() {
        let hexadecimal = "a80ede521ac47b4bc2035c6af00aa929261 19a42cca0b5a71f1986c5bc6cf06a".replace(' ', "");
        assert_eq!(hexadecimal.len(), 64);
        for text in [
            hexadecimal.as_str(),
            PRIVATE.trim_end_matches('='),
            PRIVATE,
            &format!("private_key={PRIVATE}"),
            &format!("key={hexadecimal}"),
        ] {
            let (clean, count) = clean(text);
            assert_eq!(
                (count, clean.contains(&PRIVATE[..40]), clean.contains(&hexadecimal[..40])),
                (1, false, false),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_kept() {
        let text =
            "10.42.0.0/16,fd42::/48 über https://example.org/a/rather/long/path/that/is/no/key/at/all/in/any/way €";
        assert_eq!(clean(text), (text.to_owned(), 0));
    }
}
