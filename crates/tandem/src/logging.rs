//! Logs go to standard error; what a command answers goes to standard output.

use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// ractor opens a span around every poll of every actor, which nothing here reads. openraft tells of a peer that is away several
/// times a second; the mesh says so once.
const USUAL: &str = "info,ractor=warn,hickory_resolver=warn,openraft=error";

/// Starts logging at `TANDEM_LOG`, or INFO. Numbers and addresses of calls appear at DEBUG only.
pub(crate) fn start(format: Format) {
    let wanted = std::env::var("TANDEM_LOG").ok().filter(|wanted| !wanted.trim().is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let logs = tracing_subscriber::registry().with(filter(wanted.as_deref().unwrap_or(USUAL)));
    let started = match format {
        Format::Text => logs.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        Format::Json => logs.with(lines.json()).try_init(),
    };
    // Only a second start in one process can fail, and then the first one logs.
    drop(started);
}

/// What is logged. The usual directives go by target and level alone, which costs a turn of a call nothing; only those that name
/// spans or fields need a filter that looks at every span as it is entered and left.
fn filter(wanted: &str) -> Box<dyn Layer<Registry> + Send + Sync> {
    match (wanted.parse::<Targets>(), EnvFilter::try_new(wanted)) {
        (Ok(targets), _) => Box::new(targets),
        (Err(_), Ok(filter)) => Box::new(filter),
        (Err(_), Err(_)) => filter(USUAL),
    }
}

/// One line on standard error.
#[allow(clippy::print_stderr, reason = "this is where the binary speaks to its user")]
pub(crate) fn complain(error: &anyhow::Error) {
    for line in chain(error).lines() {
        eprintln!("tandem: {line}");
    }
}

/// An error with its causes, from the outside in. Many say their cause themselves; it is not said twice.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match () {
        () if said.is_empty() => cause,
        () if said.contains(&cause) => said,
        () => format!("{said}: {cause}"),
    })
}

/// A line of an answer. A reader that has gone away is no error of ours.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_goes_by_target_and_level_unless_spans_are_named() {
        use tracing_subscriber::filter::LevelFilter;
        let widest = |wanted: &str| filter(wanted).max_level_hint();
        for usual in [USUAL, "debug", "warn,switch=trace"] {
            assert!(usual.parse::<Targets>().is_ok(), "{usual}");
        }
        assert_eq!((widest("warn"), widest("warn,switch=trace")), (Some(LevelFilter::WARN), Some(LevelFilter::TRACE)));
        let of_one_call = "warn,[call{call=3ff.1.2a}]=debug";
        assert!(of_one_call.parse::<Targets>().is_err() && EnvFilter::try_new(of_one_call).is_ok());
        assert_eq!(widest("switch=loud,["), widest(USUAL), "what cannot be read is as if it were not there");
    }

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("no room");
        let error = anyhow::Error::new(inner).context("call records: no room").context("cannot start");
        assert_eq!(chain(&error), "cannot start: call records: no room");
        let error = anyhow::anyhow!("line 3").context("node.toml");
        assert_eq!(chain(&error), "node.toml: line 3");
    }
}
