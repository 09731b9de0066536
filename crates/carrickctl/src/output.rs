//! Answers as tables for people, as JSON or as YAML.

mod document;
mod style;
mod table;
pub mod units;

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use serde::Serialize;

pub use document::Document;
pub use style::Style;
pub use table::{Align, Cell, Column, Table};

use crate::exit::Exit;
use crate::failure::Failure;

/// How answers are written.
#[derive(Args, Clone, Debug)]
pub struct OutputOptions {
    /// How to write the answer.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub output: Format,
    /// Write the answer again and again, until interrupted.
    #[arg(long, global = true, help_heading = "Output")]
    pub watch: bool,
    /// No colours; the variable NO_COLOR says the same.
    #[arg(long, global = true, help_heading = "Output")]
    pub no_color: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
    /// As an image; `graph` alone.
    Svg,
    /// In Graphviz' language; `graph` alone.
    Dot,
    /// As a Mermaid flowchart; `graph` alone.
    Mermaid,
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Its width in columns; nothing is cut where there is none.
    pub width: Option<usize>,
    /// Whether it shows colours.
    pub colour: bool,
}

impl Terminal {
    /// What the standard output can show.
    #[must_use]
    pub fn of_stdout(options: &OutputOptions) -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        Self { width, colour: !forbidden && !options.no_color }
    }
}

/// An answer to a command.
pub trait View: Serialize {
    /// Writes it for people.
    fn draw(&self, document: &mut Document);

    /// What scripts are told.
    fn exit(&self) -> Exit {
        Exit::Healthy
    }
}

/// An answer as text, and what scripts are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text, ended by a line break.
    pub text: String,
    /// What scripts are told.
    pub exit: Exit,
}

/// Writes an answer.
///
/// # Errors
/// It has no form in this format.
pub fn render(view: &impl View, format: Format, terminal: Terminal) -> Result<Rendered, Failure> {
    let refused = |error: &dyn std::error::Error| Failure::Output(error.to_string());
    let text = match format {
        Format::Table => {
            let mut document = Document::new(terminal);
            view.draw(&mut document);
            document.into_text()
        }
        Format::Json => serde_json::to_string_pretty(view).map_err(|error| refused(&error))? + "\n",
        Format::Yaml => serde_yaml_ng::to_string(view).map_err(|error| refused(&error))?,
        Format::Svg | Format::Dot | Format::Mermaid => {
            return Err(Failure::Usage(
                "only `carrickctl graph` draws pictures; here -o is table, json or yaml".to_owned(),
            ));
        }
    };
    Ok(Rendered { text, exit: view.exit() })
}
