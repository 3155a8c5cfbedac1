//! The commands and their arguments.

use crate::client::{self, Client};
use crate::{demo, generate, node_command};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tandem: a carrier-grade softswitch.
#[derive(Parser)]
#[command(name = "tandem", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How a client finds a node.
#[derive(Args, Clone)]
pub(crate) struct Reach {
    /// The node to ask.
    #[arg(long, env = "TANDEM_NODE", default_value = "http://127.0.0.1:8060", global = true)]
    node: String,
    /// The token, if the node wants one.
    #[arg(long, env = "TANDEM_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Reach {
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.node, self.token.as_deref(), self.json)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run one node.
    Node(node_command::Arguments),
    /// Run a node with built-in partners that call through it with real audio.
    Demo(demo::Arguments),
    /// Change the tables: diff, one atomic revision.
    Apply(ApplyArguments),
    /// Print the tables as TOML.
    Export(Reach),
    /// List the revisions of the tables.
    History(Reach),
    /// Put the tables back to a revision.
    Rollback {
        /// The revision.
        revision: u64,
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Explain where a call would go.
    Route(client::route::Arguments),
    /// Live calls.
    Calls {
        #[command(subcommand)]
        which: Option<Calls>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Trunks with their live state.
    Trunks(Reach),
    /// Numbers that we serve.
    Numbers(Reach),
    /// Who is registered.
    Registrations(Reach),
    /// The nodes of the cluster.
    Nodes(Reach),
    /// Call records.
    Cdr(client::cdr::Arguments),
    /// Generate calls and audio.
    Load(generate::Arguments),
}

#[derive(Subcommand)]
enum Calls {
    /// One call.
    Show {
        /// Its id.
        id: String,
    },
    /// End a call.
    Hangup {
        /// Its id.
        id: String,
    },
}

/// `tandem apply`
#[derive(Args)]
pub(crate) struct ApplyArguments {
    /// A file or a folder of TOML; may be given several times.
    #[arg(short = 'f', long = "file", required = true, num_args = 1..)]
    pub paths: Vec<PathBuf>,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Also delete rows that no file names.
    #[arg(long)]
    pub prune: bool,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, default_value = "")]
    pub comment: String,
    /// How to reach the node.
    #[command(flatten)]
    pub reach: Reach,
}

/// Runs a command.
///
/// # Errors
/// What was wrong with the input, to be printed on one line.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Node(arguments) => node_command::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Load(arguments) => generate::run(&arguments),
        Command::Apply(arguments) => client::tables::apply(&arguments.reach.client(), &arguments),
        Command::Export(reach) => client::tables::export(&reach.client()),
        Command::History(reach) => client::tables::history(&reach.client()),
        Command::Rollback { revision, dry_run, reach } => client::tables::rollback(&reach.client(), revision, dry_run),
        Command::Route(arguments) => client::route::run(&arguments.reach.client(), &arguments),
        Command::Calls { which, reach } => match which {
            None => client::lists::calls(&reach.client()),
            Some(Calls::Show { id }) => client::lists::call(&reach.client(), &id),
            Some(Calls::Hangup { id }) => client::lists::hangup(&reach.client(), &id),
        },
        Command::Trunks(reach) => client::lists::trunks(&reach.client()),
        Command::Numbers(reach) => client::lists::numbers(&reach.client()),
        Command::Registrations(reach) => client::lists::registrations(&reach.client()),
        Command::Nodes(reach) => client::lists::nodes(&reach.client()),
        Command::Cdr(arguments) => client::cdr::run(&arguments.reach.client(), &arguments),
    }
}
