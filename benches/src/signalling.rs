//! CPU a call through the B2BUA, beside Kamailio's dialog-stateful proxy at the same rates in the same run.

use anyhow::{Result, anyhow};
use load::{Progress, Report};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::figure::{Figure, Limit, Spread};
use crate::node::Node;
use crate::process::Process;
use crate::{Options, kamailio, node};

/// A call through ours may cost so many times what it costs through the peer.
const LIMIT: f64 = 1.5;
/// The rate at which every switch is asked, calls a second.
const LOW: f64 = 1000.0;
/// The search for the peak starts here and multiplies by [`STEP`] until a short window fails, then halves the interval
/// with full windows: [`WARM`] seconds and those of the measurement. A rate that a switch holds only until it has to forget as many
/// calls as it takes is not its peak.
const FIRST: f64 = 1500.0;
const STEP: f64 = 1.5;
const HALVINGS: usize = 3;
/// Seconds of a short window: enough to see that a rate is far too high.
const SHORT: u64 = 3;
/// What a rate is multiplied by when it held in a short window and not in full ones.
const BACK: f64 = 0.85;
/// No switch here is slower than this; the search ends.
const LOWEST: f64 = 100.0;

/// A switch under test.
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// Seconds of calls before a cost is measured: longer than either switch keeps a call after its end, nine seconds here and five
/// there. Until then each takes memory that it has never had before, and pays the system for clearing it.
pub(crate) const WARM: u64 = 11;

/// Where the calls come from and go to.
pub(crate) fn ends() -> (SocketAddr, SocketAddr) {
    (SocketAddr::from(([127, 77, 9, 1], 5060)), SocketAddr::from(([127, 77, 9, 2], 5080)))
}

impl Switch {
    /// Calls at `rate` for `seconds`: the CPU of a call in microseconds, and what the generator saw.
    pub(crate) fn calls(&self, rate: f64, seconds: u64) -> Result<(f64, Report)> {
        let before = self.process.cpu_us();
        let report = Self::offer(self.address, rate, seconds)?;
        let cost = (self.process.cpu_us() - before) / report.offered.max(1) as f64;
        std::thread::sleep(rest_after(&report));
        Ok((cost, report))
    }

    /// The CPU of a call in microseconds once the switch has carried `rate` for longer than it remembers calls, over `seconds`, and
    /// what the generator saw of all of them.
    pub(crate) fn warm(&self, rate: f64, seconds: u64) -> Result<(f64, Report)> {
        let (spent, report) = warm(self.address, rate, seconds, || [self.process.cpu_us(), 0.0])?;
        std::thread::sleep(rest_after(&report));
        Ok((spent[0], report))
    }

    /// Calls at `rate` for `seconds` to a switch at `address`: what the generator saw.
    pub(crate) fn offer(address: SocketAddr, rate: f64, seconds: u64) -> Result<Report> {
        Self::offer_seen(ends(), address, rate, seconds, &Progress::default())
    }

    /// The same between other ends.
    pub(crate) fn offer_seen(
        (caller, callee): (SocketAddr, SocketAddr),
        address: SocketAddr,
        rate: f64,
        seconds: u64,
        progress: &Progress,
    ) -> Result<Report> {
        let mut options = load::Options::new(caller, Some(callee), address);
        options.rate = rate;
        options.duration = Duration::from_secs(seconds);
        options.hold = Duration::from_millis(500);
        options.max_in_flight = (rate * 4.0) as u64 + 100;
        Ok(load::run(&options, progress)?)
    }

    /// The highest rate without a failure or a retransmission in a full window: between it and the lowest rate that was seen
    /// to fail lies an eighth of a step.
    fn peak(&self, seconds: u64) -> Result<f64> {
        let (mut good, mut bad) = (FIRST / STEP, FIRST);
        while bad < 100_000.0 && self.clean(bad, SHORT)? {
            (good, bad) = (bad, bad * STEP);
        }
        let mut confirmed = false;
        for _ in 0..HALVINGS {
            let middle = (good + bad) / 2.0;
            if self.clean(middle, WARM + seconds)? {
                (good, confirmed) = (middle, true);
            } else {
                bad = middle;
            }
        }
        while !confirmed && good > LOWEST {
            confirmed = self.clean(good, WARM + seconds)?;
            if !confirmed {
                good *= BACK;
            }
        }
        Ok(good)
    }

    fn clean(&self, rate: f64, seconds: u64) -> Result<bool> {
        let (cost, report) = self.calls(rate, seconds)?;
        eprintln!("  {} at {rate:.0}/s: {cost:.0} µs a call, clean: {}", self.name, report.is_clean());
        if !report.is_clean() {
            eprint!("{}", report.to_string().lines().map(|line| format!("    {line}\n")).collect::<String>());
        }
        Ok(report.is_clean())
    }
}

/// What grows by calls at `rate`, such as CPU in microseconds, over the `seconds` after the switch at `address` is warm: per call,
/// and what the generator saw of all calls.
pub(crate) fn warm(
    address: SocketAddr,
    rate: f64,
    seconds: u64,
    spent: impl Fn() -> [f64; 2],
) -> Result<([f64; 2], Report)> {
    let ([cost], report) = spans(address, rate, [(WARM, WARM + seconds)], spent)?;
    Ok((cost, report))
}

/// The same in each of several spans of one run, which begin and end so many seconds after its start, one after the other.
pub(crate) fn spans<const SPANS: usize>(
    address: SocketAddr,
    rate: f64,
    spans: [(u64, u64); SPANS],
    spent: impl Fn() -> [f64; 2],
) -> Result<([[f64; 2]; SPANS], Report)> {
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    let seconds = spans.iter().map(|(_, end)| *end).max().unwrap_or_default();
    let calling = std::thread::spawn(move || Switch::offer_seen(ends(), address, rate, seconds, &shared));
    // How many calls were offered by a moment, and what had been spent.
    let at = |second: u64| {
        let wanted = (rate * second as f64) as u64;
        while progress.snapshot().offered < wanted && !calling.is_finished() {
            std::thread::sleep(Duration::from_millis(2));
        }
        (progress.snapshot().offered as f64, spent())
    };
    let costs = spans.map(|(begin, end)| {
        let (begin, end) = (at(begin), at(end));
        let calls = (end.0 - begin.0).max(1.0);
        [0, 1].map(|who| (end.1[who] - begin.1[who]) / calls)
    });
    let report = calling.join().map_err(|_| anyhow!("the generator failed"))??;
    Ok((costs, report))
}

/// What was left over of a failed run must not spoil the next one: a proxy keeps the transactions of calls that it lost for
/// the 32 s of timers B and H, and falls over again when it is asked before they are gone.
fn rest_after(report: &Report) -> Duration {
    match report.is_clean() {
        true => Duration::from_millis(300),
        false if report.failed + report.still_open == 0 => Duration::from_secs(3),
        false => Duration::from_secs(36),
    }
}

/// Ours, if there is a binary.
fn ours(options: &Options, folder: &Path) -> Result<Option<Switch>> {
    let (caller, callee) = ends();
    let Some(binary) = options.binary() else { return Ok(None) };
    let node = Node::new(binary, folder, options.core)?;
    let process = node.start()?;
    node.apply(&node::tables("bypass", caller, callee))?;
    Ok(Some(Switch { name: "tandem", process, address: node::ADDRESS.parse()? }))
}

/// The peer, if it is installed.
fn peer(options: &Options, folder: &Path) -> Result<Option<Switch>> {
    let process = kamailio::start(options.core, ends().1, folder)?;
    if process.is_none() {
        eprintln!("kamailio is not installed: signalling has no peer (apt-get install kamailio)");
    }
    let address = kamailio::ADDRESS.parse()?;
    Ok(process.map(|process| Switch { name: "kamailio", process, address }))
}

/// A peak, found with a process that ends with the search: what an overload leaves behind in a switch, seconds of timers and
/// memory in pieces, must not be in any figure but this.
fn peak_of(switch: Option<Switch>, seconds: u64) -> Result<Option<f64>> {
    switch.map(|switch| switch.peak(seconds)).transpose()
}

/// Starts whichever switches there are and compares them.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (first, second) = (folder.path().join("peak"), folder.path().join("pairs"));
    std::fs::create_dir_all(&first)?;
    std::fs::create_dir_all(&second)?;
    if !options.rate.is_empty() {
        let (ours, peer) = (ours(options, &second)?, peer(options, &second)?);
        let at = |rate: &f64| compare(options, ours.as_ref(), peer.as_ref(), "a given rate", *rate);
        return options.rate.iter().map(at).collect();
    }
    let mut figures = Vec::new();
    let ours_peak = peak_of(ours(options, &first)?, options.seconds)?;
    let peer_peak = peak_of(peer(options, &first)?, options.seconds)?;
    figures.push(figure("clean peak", "calls/s", &[ours_peak, peer_peak], Limit::None));
    let common = ours_peak.into_iter().chain(peer_peak).fold(f64::MAX, f64::min);
    let (ours, peer) = (ours(options, &second)?, peer(options, &second)?);
    for (name, rate) in [("1,000/s", LOW), ("half the peak", common / 2.0), ("the peak", common)] {
        if (1.0..f64::MAX).contains(&rate) {
            figures.push(compare(options, ours.as_ref(), peer.as_ref(), name, rate)?);
        }
    }
    if let (Some(ours), Some(peak)) = (&ours, ours_peak) {
        figures.push(steady(options, ours, peak * 0.8)?);
    }
    Ok(figures)
}

/// Pairs at one rate, interleaved.
fn compare(options: &Options, ours: Option<&Switch>, peer: Option<&Switch>, name: &str, rate: f64) -> Result<Figure> {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..options.repeat {
        for (switch, samples) in [ours, peer].into_iter().zip(&mut samples) {
            let Some(switch) = switch else { continue };
            let (cost, report) = switch.warm(rate, options.seconds)?;
            eprintln!("  {} at {rate:.0}/s: {cost:.1} µs a call, clean: {}", switch.name, report.is_clean());
            samples.push(cost);
        }
    }
    Ok(Figure {
        name: format!("CPU a call at {name} ({rate:.0}/s)"),
        unit: "µs",
        ours: Spread::of(&samples[0]),
        peer: Spread::of(&samples[1]),
        peer_name: "kamailio",
        pairs: None,
        limit: Limit::Ratio(LIMIT),
    })
}

/// No failure and no retransmission at four fifths of the peak.
fn steady(options: &Options, ours: &Switch, rate: f64) -> Result<Figure> {
    let mut wrong = Vec::new();
    for _ in 0..options.repeat {
        let (cost, report) = ours.calls(rate, WARM + options.seconds)?;
        eprintln!("  {} at {rate:.0}/s: {cost:.1} µs a call, clean: {}", ours.name, report.is_clean());
        let again = report.retransmissions_sent + report.retransmissions_seen;
        wrong.push((report.failed + report.still_open + report.held_back + again) as f64);
    }
    Ok(Figure {
        name: format!("failures + retransmissions at 80 % ({rate:.0}/s)"),
        unit: "calls",
        ours: Spread::of(&wrong),
        peer: None,
        peer_name: "",
        pairs: None,
        limit: Limit::AtMost(0.0),
    })
}

fn figure(name: &str, unit: &'static str, values: &[Option<f64>; 2], limit: Limit) -> Figure {
    let spread = |value: Option<f64>| value.and_then(|value| Spread::of(&[value]));
    Figure {
        name: name.into(),
        unit,
        ours: spread(values[0]),
        peer: spread(values[1]),
        peer_name: "kamailio",
        pairs: None,
        limit,
    }
}
