//! The output formats: tables, JSON and YAML.

mod document;
mod loss;
mod style;
mod table;
mod terminal;
pub mod units;

use clap::{Args, ValueEnum};
use serde::Serialize;

pub use document::Document;
pub use loss::{HIGH_LOSS, loss_cell, loss_style};
pub use style::Style;
pub use table::{Align, Cell, Column, Table};
pub use terminal::Terminal;

use crate::exit::Exit;
use crate::failure::Failure;

/// How to write answers.
#[derive(Args, Clone, Debug)]
pub struct OutputOptions {
    /// The output format.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub output: Format,
    /// Repeat the command every 2 seconds until it is interrupted.
    #[arg(long, global = true, help_heading = "Output")]
    pub watch: bool,
    /// Do not use colours. The environment variable NO_COLOR has the same effect.
    #[arg(long, global = true, help_heading = "Output")]
    pub no_color: bool,
}

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// An SVG image; only for `graph`.
    Svg,
    /// The DOT language of Graphviz; only for `graph`.
    Dot,
    /// A Mermaid flowchart; only for `graph`.
    Mermaid,
}

/// An answer to a command.
pub trait View: Serialize {
    /// Writes the answer for people.
    fn draw(&self, document: &mut Document);

    /// The exit status.
    fn exit(&self) -> Exit {
        Exit::Healthy
    }
}

/// An answer as text, with the exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text, which ends with a line break.
    pub text: String,
    /// The exit status.
    pub exit: Exit,
}

/// Writes an answer in a format.
///
/// # Errors
/// The answer has no form in this format.
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
                "only `carrickctl graph` supports this format; use table, json or yaml".to_owned(),
            ));
        }
    };
    Ok(Rendered { text, exit: view.exit() })
}
