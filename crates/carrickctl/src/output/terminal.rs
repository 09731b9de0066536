//! The capabilities of the terminal.

use std::io::IsTerminal as _;

/// The capabilities of the terminal, or of a file or pipe in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// The width in columns. Without a width, nothing is cut.
    pub width: Option<usize>,
    /// Whether to use colours.
    pub colour: bool,
}

impl Terminal {
    /// The capabilities of the standard output. A file or pipe has neither width nor colours.
    #[must_use]
    pub fn of_stdout(no_color: bool) -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let is_disabled = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        Self { width, colour: !is_disabled && !no_color }
    }
}
