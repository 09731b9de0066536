//! A text for people, line by line.

use std::fmt::Display;

use super::table::cut;
use super::{Style, Table, Terminal};

/// A text for people, line by line.
#[derive(Clone, Debug)]
pub struct Document {
    terminal: Terminal,
    text: String,
}

impl Document {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, text: String::new() }
    }

    /// A line.
    pub fn line(&mut self, text: impl Display) {
        self.styled(text, Style::Plain);
    }

    /// A line in a style.
    pub fn styled(&mut self, text: impl Display, style: Style) {
        let text = text.to_string();
        let text = self.terminal.width.map_or_else(|| text.clone(), |width| cut(&text, width));
        self.text += &if self.terminal.colour { style.paint(&text) } else { text };
        self.text.push('\n');
    }

    /// A line in a style that is never cut: what it ends with matters.
    pub fn whole(&mut self, text: impl Display, style: Style) {
        let text = text.to_string();
        self.text += &if self.terminal.colour { style.paint(&text) } else { text };
        self.text.push('\n');
    }

    /// A line that is never cut nor painted: part of a picture or a file.
    pub fn verbatim(&mut self, text: impl Display) {
        self.text += &text.to_string();
        self.text.push('\n');
    }

    /// An empty line between two parts.
    pub fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// A table; one without rows is left out.
    pub fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        for line in table.lines(self.terminal) {
            self.text += &line;
            self.text.push('\n');
        }
    }

    /// What the terminal can show.
    #[must_use]
    pub const fn terminal(&self) -> Terminal {
        self.terminal
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
