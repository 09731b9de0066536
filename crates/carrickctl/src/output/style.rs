//! Styles of text. A style never carries information that the text does not.

/// The style of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// No style.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// Of little importance.
    Dim,
    /// No fault.
    Good,
    /// A warning.
    Warn,
    /// A fault.
    Bad,
}

impl Style {
    /// The text with the control sequences of this style (ECMA-48 §8.3.117).
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
