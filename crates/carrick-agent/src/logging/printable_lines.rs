//! Log lines without characters that break a line, move a cursor or hide text.

use std::io::{self, IsTerminal, Write};

use carrick_types::is_printable;

/// The character that begins the control sequences of colours. On a terminal the text of others cannot contain it: the crate `tracing-subscriber`
/// escapes it.
const ESCAPE: char = '\u{1b}';

/// Writes one log line with each call, and replaces what does not print. Names, annotations and errors come from others.
#[derive(Debug)]
pub(super) struct PrintableLines<W> {
    to: W,
    colours: Colours,
}

/// Whether log lines have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

impl<W: Write + IsTerminal> PrintableLines<W> {
    pub(super) fn to(to: W) -> Self {
        let colours = if to.is_terminal() { Colours::On } else { Colours::Off };
        Self { to, colours }
    }
}

impl<W: Write> Write for PrintableLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let (line, end) = line.strip_suffix('\n').map_or((&*line, ""), |line| (line, "\n"));
        let is_kept = |character: char| is_printable(character) || character == ESCAPE && self.colours == Colours::On;
        let replaced = |character| if is_kept(character) { character } else { char::REPLACEMENT_CHARACTER };
        let text: String = line.chars().map(replaced).chain(end.chars()).collect();
        self.to.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What was written, shared with the test.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log of an event with the text of others in a field and in the message.
    fn logged(text: &str) -> String {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || PrintableLines { to: to.clone(), colours: Colours::Off });
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::warn!(event = "warning_raised", name = %text, quoted = ?text, "of {text}");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_others_wrote() {
        for hidden in ["\n", "\r\n", "\u{85}", "\u{2028}", "\u{2029}", "\u{202e}", "\u{200b}", "\u{1b}[2J", "\u{9b}1A"]
        {
            let log = logged(&format!("a{hidden}ERROR b"));
            let line = log.strip_suffix('\n').unwrap();
            assert!(line.chars().all(is_printable), "{log:?}");
            assert!(line.contains("warning_raised") && line.contains("ERROR b"), "{log:?}");
        }
        assert!(logged("Zürich \u{201c}東京\u{201d}").contains("of Zürich \u{201c}東京\u{201d}"));
    }

    #[test]
    fn colours_stay_on_a_terminal_alone() {
        for (colours, expected) in [(Colours::On, "\u{1b}[31mred\n"), (Colours::Off, "\u{fffd}[31mred\n")] {
            let written = Written::default();
            let mut lines = PrintableLines { to: written.clone(), colours };
            lines.write_all("\u{1b}[31mred\n".as_bytes()).unwrap();
            let bytes = written.0.lock().unwrap().clone();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
