//! What a word's colour says. It never says what the word does not say too.

/// How a word is to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As it stands.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// Of less weight.
    Dim,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Not well.
    Bad,
}

impl Style {
    /// The word in this style, for a terminal (ECMA-48 §8.3.117).
    pub(super) fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
