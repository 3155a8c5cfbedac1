//! The commands and their arguments.

use crate::client::{self, Client};
use crate::{demo, generate, node_command, top};
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
    /// Run three sites with built-in partners that call through them with real audio.
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
        list: client::lists::Which,
        #[command(flatten)]
        reach: Reach,
    },
    /// Trunks with their live state.
    Trunks(Reach),
    /// Numbers that we serve.
    Numbers {
        #[command(flatten)]
        most: client::lists::Most,
        #[command(flatten)]
        reach: Reach,
    },
    /// Who is registered.
    Registrations {
        #[command(flatten)]
        most: client::lists::Most,
        #[command(flatten)]
        reach: Reach,
    },
    /// The nodes of the cluster.
    Nodes(Reach),
    /// The cluster live: nodes, trunks and calls.
    Top(top::Arguments),
    /// The cluster and who belongs to it.
    Cluster {
        #[command(subcommand)]
        what: Cluster,
        #[command(flatten)]
        reach: Reach,
    },
    /// Write all tables of one revision, with their secrets, into a file.
    Backup {
        /// The file, which must not be there yet.
        file: PathBuf,
        #[command(flatten)]
        reach: Reach,
    },
    /// Make the tables as a backup has them: checked first, then one atomic revision.
    Restore(client::backup::Restore),
    /// Import a file of CSV: one atomic revision, or nothing.
    #[command(subcommand)]
    Import(client::imports::Import),
    /// Call records.
    Cdr(client::cdr::Arguments),
    /// Generate calls and audio.
    Load(generate::Arguments),
}

#[derive(Subcommand)]
enum Calls {
    /// One call with its ladder, for a while also when it has ended.
    Show(client::ladder::Show),
    /// End a call.
    Hangup {
        /// Its id.
        id: String,
    },
}

#[derive(Subcommand)]
enum Cluster {
    /// Who leads, who is up, who owns what.
    Status,
    /// Make an authority and a certificate for each node, as files.
    Certs(client::cluster::Certs),
    /// Move the calls and shards of a node to the others; returns when no call is left on it.
    Drain {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: String,
        /// Give up after so many seconds; the node goes on to drain.
        #[arg(long, default_value_t = 3_600)]
        patience_seconds: u64,
    },
    /// Let a node that drains, or has, take calls and shards again.
    Undrain {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: String,
    },
    /// Remove a node for good.
    Remove {
        /// Its name.
        #[arg(value_name = "NODE")]
        name: String,
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
        Command::Calls { which, list, reach } => match which {
            None => client::lists::calls(&reach.client(), &list),
            Some(Calls::Show(show)) => client::ladder::show(&reach.client(), &show),
            Some(Calls::Hangup { id }) => client::lists::hangup(&reach.client(), &id),
        },
        Command::Trunks(reach) => client::lists::trunks(&reach.client()),
        Command::Numbers { most, reach } => client::lists::numbers(&reach.client(), &most),
        Command::Registrations { most, reach } => client::lists::registrations(&reach.client(), &most),
        Command::Top(arguments) => top::run(&arguments),
        Command::Nodes(reach) => client::lists::nodes(&reach.client()),
        Command::Cluster { what, reach } => match what {
            Cluster::Status => client::cluster::status(&reach.client()),
            Cluster::Certs(certs) => client::cluster::certs(&certs, reach.json),
            Cluster::Drain { name, patience_seconds } => {
                client::drain::drain(&reach.client(), &name, std::time::Duration::from_secs(patience_seconds))
            }
            Cluster::Undrain { name } => client::drain::undrain(&reach.client(), &name),
            Cluster::Remove { name } => client::cluster::remove(&reach.client(), &name),
        },
        Command::Backup { file, reach } => client::backup::backup(&reach.client(), &file),
        Command::Restore(arguments) => client::backup::restore(&arguments),
        Command::Import(import) => client::imports::run(&import),
        Command::Cdr(arguments) => client::cdr::run(&arguments.reach.client(), &arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_goes_is_not_the_node_that_is_asked() {
        let words = ["tandem", "cluster", "remove", "ams-1", "--node", "http://127.0.2.1:8060"];
        let Command::Cluster { what: Cluster::Remove { name }, reach } = Cli::parse_from(words).command else {
            panic!("it is cluster remove");
        };
        assert_eq!((name.as_str(), reach.node.as_str()), ("ams-1", "http://127.0.2.1:8060"));
    }

    #[test]
    fn the_commands_are_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
