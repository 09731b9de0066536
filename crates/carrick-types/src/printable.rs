//! Text of others, for lines of logs, warnings and terminals.

/// What stands in the place of a character that does not print.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Whether a character prints as itself, in its place and in its line. Others are control characters, separators of lines and paragraphs (U+2028,
/// U+2029), characters that make a terminal show others in another order (Unicode UAX #9), and characters that show nothing.
#[must_use]
pub fn is_printable(character: char) -> bool {
    let shows_nothing_or_moves = matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !character.is_control() && !shows_nothing_or_moves
}

/// The text with U+FFFD in the place of each character that is not [printable](is_printable). Any user may write the texts of objects and pages:
/// none of them adds a line to a log, or reaches a terminal as a control sequence.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if is_printable(character) { character } else { REPLACEMENT }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_moves_or_hides_others_is_replaced() {
        for hidden in [
            '\0', '\n', '\r', '\t', '\u{b}', '\u{c}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{200b}', '\u{200e}',
            '\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2060}', '\u{2066}', '\u{2069}', '\u{feff}',
        ] {
            assert_eq!(printable(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
    }

    #[test]
    fn what_prints_is_kept() {
        for text in ["", "eu-central-1", "Zürich \u{201c}West\u{201d}", "東京 – 1…", "\u{a0}\u{fffd}"] {
            assert_eq!(printable(text), text);
        }
    }
}
