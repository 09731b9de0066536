//! Formats the loss of paths.

use super::style::Style;
use super::table::Cell;
use super::units;

/// The loss from which on a path is lossy, from 0 to 1.
pub const HIGH_LOSS: f64 = 0.05;

/// A loss from 0 to 1, in percent and with a style; a dash if it is not known.
#[must_use]
pub fn loss_cell(loss: Option<f64>) -> Cell {
    loss.map_or_else(|| Cell::or_dash(None::<&str>), |loss| Cell::of(units::percent(loss), loss_style(loss)))
}

/// The style of a loss from 0 to 1.
#[must_use]
pub fn loss_style(loss: f64) -> Style {
    match loss {
        0.0 => Style::Plain,
        HIGH_LOSS.. => Style::Bad,
        _ => Style::Warn,
    }
}
