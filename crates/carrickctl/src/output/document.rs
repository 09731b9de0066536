//! A text for people, line by line.

use std::fmt::Display;

use carrick_types::printable;

use super::style::Style;
use super::table::{Table, cut};
use super::terminal::Terminal;

/// A text for people, line by line.
#[derive(Clone, Debug)]
pub struct Document {
    terminal: Terminal,
    text: String,
}

impl Document {
    pub(super) const fn new(terminal: Terminal) -> Self {
        Self { terminal, text: String::new() }
    }

    /// Adds a line without a style.
    pub fn line(&mut self, text: impl Display) {
        self.styled(text, Style::Plain);
    }

    /// Adds a line, which is cut at the width of the terminal.
    pub fn styled(&mut self, text: impl Display, style: Style) {
        let text = printable(&text.to_string());
        let text = match self.terminal.width {
            Some(width) => cut(&text, width),
            None => text,
        };
        self.uncut(text, style);
    }

    /// Adds a line that is not cut.
    pub fn uncut(&mut self, text: impl Display, style: Style) {
        let text = printable(&text.to_string());
        self.verbatim(if self.terminal.colour { style.paint(&text) } else { text });
    }

    /// Adds a line that is neither cut nor coloured.
    pub fn verbatim(&mut self, text: impl Display) {
        self.text += &text.to_string();
        self.text.push('\n');
    }

    /// Adds an empty line between two parts of the text.
    pub fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Adds a table. A table without rows adds nothing.
    pub fn table(&mut self, table: &Table) {
        if !table.is_empty() {
            table.lines(self.terminal).into_iter().for_each(|line| self.verbatim(line));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_a_line_are_replaced() {
        let mut document = Document::new(Terminal::default());
        document.line("a\u{1b}[2Jb");
        document.uncut("c\r\nd", Style::Plain);
        assert_eq!(document.into_text(), "a\u{fffd}[2Jb\nc\u{fffd}\u{fffd}d\n");
    }
}
