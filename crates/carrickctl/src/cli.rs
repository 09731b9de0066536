//! The command line.

use clap::{Parser, Subcommand};

use crate::access::{Access, AccessOptions};
use crate::failure::Failure;
use crate::output::{OutputOptions, Screen, Shown, show};
use crate::status;

/// See the mesh: which node talks to which, over which gateway, how fast, how much, and if not, why not.
///
/// Exit codes: 0 all is well, 1 something is not, 2 the command line is wrong, 3 nobody can be reached.
#[derive(Parser, Clone, Debug)]
#[command(name = "carrickctl", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which agents are asked.
    #[command(flatten)]
    pub access: AccessOptions,
    /// How the answer is written.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// The cluster on one screen: locations, gateways, nodes, tunnels, warnings. Ends with 1 when something is not well.
    Status,
}

impl Cli {
    /// Carries the command out once.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(&self, screen: Screen) -> Result<Shown, Failure> {
        let format = self.output.output;
        match &self.command {
            Command::Status => show(&status::Status::of(&self.survey().await?), format, screen),
        }
    }

    async fn survey(&self) -> Result<crate::survey::Survey, Failure> {
        Access::open(&self.access).await?.survey().await
    }
}
