//! Tables with aligned columns, cut to the width of the terminal.

use std::fmt::Display;

use carrick_types::printable;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::style::Style;
use super::terminal::Terminal;

/// The gap between two columns.
const GAP: &str = "  ";
/// The mark at the end of a cut text.
const ELLIPSIS: char = '…';
/// The width below which no column is cut.
const MIN_WIDTH: usize = 6;

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// To the left, for text.
    Left,
    /// To the right, for numbers.
    Right,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    heading: String,
    align: Align,
}

impl Column {
    /// A column of text.
    #[must_use]
    pub fn text(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), align: Align::Left }
    }

    /// A column of numbers.
    #[must_use]
    pub fn numbers(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), align: Align::Right }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell without a style.
    pub fn plain(text: impl Display) -> Self {
        Self::of(text, Style::Plain)
    }

    /// A cell with a style.
    pub fn of(text: impl Display, style: Style) -> Self {
        Self { text: printable(&text.to_string()), style }
    }

    /// A dash if there is no value.
    pub fn or_dash(text: Option<impl Display>) -> Self {
        text.map_or_else(|| Self::of("-", Style::Dim), Self::plain)
    }
}

impl<T: Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::plain(text)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether the table has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn lines(&self, terminal: Terminal) -> Vec<String> {
        let heading = self.columns.iter().map(|column| Cell::of(&column.heading, Style::Strong)).collect::<Vec<_>>();
        let rows: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(&self.rows).collect();
        let mut widths = vec![0; self.columns.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(*row) {
                *width = (*width).max(cell.text.width());
            }
        }
        if let Some(most) = terminal.width {
            shrink(&mut widths, most);
        }
        rows.into_iter().map(|row| self.line(row, &widths, terminal)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], terminal: Terminal) -> String {
        let mut line = String::new();
        for (index, ((cell, width), column)) in row.iter().zip(widths).zip(&self.columns).enumerate() {
            let text = cut(&cell.text, *width);
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let shown = if terminal.colour { cell.style.paint(&text) } else { text };
            if index > 0 {
                line += GAP;
            }
            match column.align {
                Align::Right => line += &(padding + &shown),
                Align::Left if index + 1 == row.len() => line += &shown,
                Align::Left => line += &(shown + &padding),
            }
        }
        line.trim_end().to_owned()
    }
}

/// Narrows the widest column repeatedly, until all columns fit or none can be narrowed.
fn shrink(widths: &mut [usize], most: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max() {
            Some(widest) if *widest > MIN_WIDTH => *widest -= 1,
            Some(_) | None => return,
        }
    }
}

/// A text cut to `width` terminal columns.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for character in text.chars() {
        taken += character.width().unwrap_or(0);
        if taken > width {
            break;
        }
        kept.push(character);
    }
    kept.push(ELLIPSIS);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([Column::text("NODE"), Column::numbers("RTT"), Column::text("STATE")]);
        table.row(["a1".into(), "1.5 ms".into(), Cell::of("no answer within 2 s", Style::Bad)]);
        table.row(["frankfurt-1".into(), "40 ms".into(), Cell::of("ok", Style::Good)]);
        table
    }

    fn text(terminal: Terminal) -> String {
        table().lines(terminal).join("\n")
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            text(Terminal::default()),
            "NODE            RTT  STATE\n\
             a1           1.5 ms  no answer within 2 s\n\
             frankfurt-1   40 ms  ok"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_columns_first() {
        assert_eq!(
            text(Terminal { width: Some(30), colour: false }),
            "NODE            RTT  STATE\n\
             a1           1.5 ms  no answe…\n\
             frankfurt-1   40 ms  ok"
                .replace("no answe…", "no answer…")
                .replace("frankfurt-1", "frankfurt…")
                .replace("NODE            RTT", "NODE           RTT")
                .replace("a1           1.5", "a1          1.5")
        );
    }

    #[test]
    fn colours_do_not_change_the_alignment() {
        let painted = text(Terminal { width: None, colour: true });
        let bare = painted.replace("\u{1b}[1m", "").replace("\u{1b}[31m", "").replace("\u{1b}[32m", "");
        assert_eq!(bare.replace("\u{1b}[0m", ""), text(Terminal::default()));
        assert!(painted.contains("\u{1b}[31mno answer within 2 s\u{1b}[0m"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(cut("東京都", 5), "東京…");
        assert_eq!(cut("東京都", 4), "東…");
    }

    #[test]
    fn control_characters_in_a_cell_are_replaced() {
        assert_eq!(Cell::plain("a\u{1b}[2Jb\n").text, "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(Cell::plain("a\u{202e}b\u{200b}\u{2066}").text, "a\u{fffd}b\u{fffd}\u{fffd}", "nor reordered");
    }
}
