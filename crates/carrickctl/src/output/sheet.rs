//! A text for people, line by line.

use std::fmt::Display;

use super::table::cut;
use super::{Screen, Table, Tone};

/// A text for people, line by line.
#[derive(Clone, Debug)]
pub struct Sheet {
    screen: Screen,
    text: String,
}

impl Sheet {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, text: String::new() }
    }

    /// A line.
    pub fn line(&mut self, text: impl Display) {
        self.toned(text, Tone::Plain);
    }

    /// A line in a tone.
    pub fn toned(&mut self, text: impl Display, tone: Tone) {
        let text = text.to_string();
        let text = self.screen.width.map_or_else(|| text.clone(), |width| cut(&text, width));
        self.text += &if self.screen.colour { tone.paint(&text) } else { text };
        self.text.push('\n');
    }

    /// A line in a tone that is never cut: what it ends with matters.
    pub fn whole(&mut self, text: impl Display, tone: Tone) {
        let text = text.to_string();
        self.text += &if self.screen.colour { tone.paint(&text) } else { text };
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
        for line in table.lines(self.screen) {
            self.text += &line;
            self.text.push('\n');
        }
    }

    /// What the screen can show.
    #[must_use]
    pub const fn screen(&self) -> Screen {
        self.screen
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
