//! What happened when, in simulated time: lines for whoever reads, and one number over all of it. The number also covers
//! what the nodes log and each message on the network, so that two runs with the same number went alike.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Lines that are kept for the report of a failure.
const KEPT: usize = 200;

/// See the module. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Chronicle(Arc<Mutex<Pages>>);

struct Pages {
    sum: DefaultHasher,
    lines: Vec<String>,
    aloud: bool,
}

impl Chronicle {
    /// Takes down all that is logged in this process from now on; `aloud`, its own lines and the nodes' go to the standard
    /// error as well (the nodes' by `RUST_LOG`).
    pub(crate) fn open(aloud: bool) -> Self {
        let pages = Pages { sum: DefaultHasher::new(), lines: Vec::new(), aloud };
        let chronicle = Self(Arc::new(Mutex::new(pages)));
        let sink = chronicle.clone();
        // Of the network each message once, as it is sent, held or dropped: the rest follows from that.
        let wanted = filter_fn(|event| match event.target() {
            "turmoil" => event.is_span() || event.file().is_some_and(|file| file.ends_with("top.rs")),
            _ => *event.level() <= tracing::Level::INFO,
        });
        let hashed = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_timer(Simulated)
            // Fields of spans are written down once a kind of formatter: this one is nobody else's.
            .fmt_fields(debug_fn(|writer, field, value| write!(writer, "{field}={value:?} ")))
            .with_writer(move || sink.clone())
            .with_filter(wanted);
        let shown = aloud.then(|| {
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_timer(Simulated)
                .with_writer(io::stderr)
                .with_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        });
        tracing_subscriber::registry().with(hashed).with(shown).init();
        chronicle
    }

    /// Takes down a line.
    pub(crate) fn note(&self, what: impl fmt::Display) {
        let line = format!("{} {what}", Moment(now()));
        let mut pages = self.lock();
        pages.sum.write(line.as_bytes());
        if pages.aloud {
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "{line}");
        }
        pages.lines.push(line);
    }

    /// The number.
    pub(crate) fn digest(&self) -> u64 {
        self.lock().sum.finish()
    }

    /// The last lines, for the report of a failure.
    pub(crate) fn last_lines(&self) -> String {
        let pages = self.lock();
        pages.lines[pages.lines.len().saturating_sub(KEPT)..].join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Chronicle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().sum.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// The time between two steps, when no host runs.
    static BETWEEN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Says how late it is when no host runs.
pub(crate) fn set_now(now: Duration) {
    BETWEEN.set(now);
}

/// The simulation's time, from its start.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| BETWEEN.get())
}

struct Moment(Duration);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}", self.0.as_secs_f64())
    }
}

struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", Moment(now()))
    }
}
