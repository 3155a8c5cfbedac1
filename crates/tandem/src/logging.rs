//! Logs go to standard error; what a command answers goes to standard output.

mod by_line;

use by_line::ByLine;
use tracing::Subscriber;
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
    let (filter, by_line) = filter(wanted.as_deref().unwrap_or(USUAL));
    let logs = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => {
            install(logs.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))), by_line)
        }
        Format::Json => install(logs.with(lines.json()), by_line),
    }
}

/// Only a second start in one process can fail, and then the first one logs.
fn install(subscriber: impl Subscriber + Send + Sync, by_line: bool) {
    if !by_line {
        return drop(subscriber.try_init());
    }
    if ByLine(subscriber).try_init().is_ok() {
        switch::calls::span::told_by_line();
    }
}

/// What is logged, and whether the span of a call may be made for each line alone. The usual directives go by target and level; those that
/// name spans or fields need a filter that looks at every span as it is entered and left, and so the spans.
fn filter(wanted: &str) -> (Box<dyn Layer<Registry> + Send + Sync>, bool) {
    match (wanted.parse::<Targets>(), EnvFilter::try_new(wanted)) {
        (Ok(targets), _) => (Box::new(targets), true),
        (Err(_), Ok(filter)) => (Box::new(filter), false),
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
        let widest = |wanted: &str| filter(wanted).0.max_level_hint();
        for usual in [USUAL, "debug", "warn,switch=trace"] {
            assert!(usual.parse::<Targets>().is_ok(), "{usual}");
        }
        assert_eq!((widest("warn"), widest("warn,switch=trace")), (Some(LevelFilter::WARN), Some(LevelFilter::TRACE)));
        let of_one_call = "warn,[call{call=3ff.1.2a}]=debug";
        assert!(of_one_call.parse::<Targets>().is_err() && EnvFilter::try_new(of_one_call).is_ok());
        assert_eq!(widest("switch=loud,["), widest(USUAL), "what cannot be read is as if it were not there");
        assert_eq!(
            [USUAL, "off", of_one_call, "switch=loud,["].map(|wanted| filter(wanted).1),
            [true, true, false, true]
        );
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
