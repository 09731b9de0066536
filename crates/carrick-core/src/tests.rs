//! The core with a simulated clock.

mod applies;
mod background;
mod faults;
mod fixture;
mod former_limits;
mod former_networks;
mod former_pods;
mod invariants;
mod name_choice;
mod overwrites;
mod peers;
mod publication;
mod shared_settings;
mod start;
