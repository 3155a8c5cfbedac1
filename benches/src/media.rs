//! CPU a relayed packet, beside rtpengine's userspace daemon at the same packet rates in the same run.

use anyhow::{Result, bail};
use load::audio::{Audio, LegId, Tone};
use load::{AudioReport, Codec, Progress};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::figure::{Figure, Limit, Spread};
use crate::node::Node;
use crate::process::Process;
use crate::rtpengine::Control;
use crate::signalling::ends;
use crate::{Options, node, rtpengine};

/// A packet through ours may cost so many times what it costs through the peer.
const LIMIT: f64 = 1.0;
/// Packets a second through the relay, both directions together.
const RATES: [u64; 2] = [10_000, 50_000];
/// Packets a second of one call.
const CALL: u64 = 100;
/// Calls set up a second.
const SETUP: u64 = 200;
/// Time to settle before and after the window that is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// Compares the relays that there are.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let mut peer = rtpengine::start(options.core, folder.path())?;
    if peer.is_none() {
        eprintln!("rtpengine is not installed: media has no peer (apt-get install rtpengine)");
    }
    let ours = options.binary().map(|binary| start_node(binary, folder.path(), options.core)).transpose()?;
    let mut figures = Vec::new();
    for rate in RATES {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..options.repeat {
            if let Some(process) = &ours {
                let (cost, audio) = through_node(process, rate / CALL, options.seconds)?;
                report("tandem", rate, cost, &audio);
                samples[0].push(cost);
            }
            if let Some((process, control)) = &mut peer {
                let (cost, audio) = through_rtpengine(process, control, rate / CALL, options.seconds)?;
                report("rtpengine", rate, cost, &audio);
                samples[1].push(cost);
            }
        }
        figures.push(Figure {
            name: format!("CPU a relayed packet at {rate}/s"),
            unit: "µs",
            ours: Spread::of(&samples[0]),
            peer: Spread::of(&samples[1]),
            peer_name: "rtpengine",
            pairs: None,
            limit: Limit::Ratio(LIMIT),
        });
    }
    Ok(figures)
}

fn start_node(binary: std::path::PathBuf, folder: &std::path::Path, core: usize) -> Result<Process> {
    let (caller, callee) = ends();
    let node = Node::new(binary, folder, core)?;
    let process = node.start()?;
    node.apply(&node::tables("relay", caller, callee))?;
    Ok(process)
}

fn report(name: &str, rate: u64, cost: f64, audio: &AudioReport) {
    eprintln!("  {name} at {rate}/s: {cost:.2} µs a packet; clean: {}", audio.is_clean());
    if !audio.is_clean() {
        eprint!("    {audio}");
    }
}

/// Calls placed over SIP, all open at once while the window is measured.
fn through_node(process: &Process, calls: u64, seconds: u64) -> Result<(f64, AudioReport)> {
    let (caller, callee) = ends();
    let mut options = load::Options::new(caller, Some(callee), node::ADDRESS.parse()?);
    options.rate = SETUP as f64;
    options.calls = Some(calls);
    options.audio = true;
    options.duration = Duration::from_secs(calls / SETUP + 5);
    options.hold = Duration::from_secs(calls / SETUP + seconds) + SETTLE * 3;
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    let generator = std::thread::spawn(move || load::run(&options, &shared));
    let start = Instant::now();
    while progress.snapshot().answered < calls {
        if generator.is_finished() || start.elapsed() > Duration::from_secs(60) {
            bail!("the calls are not all answered: {:?}", progress.snapshot());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(SETTLE);
    let (cpu, packets) = (process.cpu_us(), progress.snapshot().packets_sent);
    std::thread::sleep(Duration::from_secs(seconds));
    let cost = (process.cpu_us() - cpu) / (progress.snapshot().packets_sent - packets).max(1) as f64;
    let Ok(report) = generator.join() else { bail!("the generator panicked") };
    let report = report?;
    if report.failed + report.still_open > 0 {
        eprint!("{report}");
    }
    Ok((cost, report.audio.unwrap_or_default()))
}

/// Sessions set up over the control protocol, with the same audio.
fn through_rtpengine(process: &Process, control: &mut Control, calls: u64, seconds: u64) -> Result<(f64, AudioReport)> {
    let ips: [IpAddr; 2] = [ends().0.ip(), ends().1.ip()];
    let mut audio = Audio::new()?;
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut legs: Vec<LegId> = Vec::new();
    for call in 0..calls {
        let pair = [audio.open(ips[0])?, audio.open(ips[1])?];
        let at = [0, 1].map(|end| SocketAddr::new(ips[end], audio.port(pair[end])));
        let far = control.join(call, at[0], at[1])?;
        let tones = [Tone::new(call * 2), Tone::new(call * 2 + 1)];
        for end in [0, 1] {
            audio.start(pair[end], far[end], Codec::Pcma, tones[end], tones[1 - end], now());
        }
        legs.extend(pair);
    }
    // Spread over the period of 20 ms, as a real mix of calls would be.
    for (leg, later) in legs.iter().zip((0..20_000).step_by(100).cycle()) {
        audio.speak(*leg, now() + later);
    }
    pace(&mut audio, &now, SETTLE);
    let (cpu, packets) = (process.cpu_us(), audio.report().packets_sent);
    pace(&mut audio, &now, Duration::from_secs(seconds));
    let cost = (process.cpu_us() - cpu) / (audio.report().packets_sent - packets).max(1) as f64;
    for leg in legs {
        audio.close(leg, now());
    }
    for call in 0..calls {
        control.delete(call)?;
    }
    Ok((cost, audio.report()))
}

/// Sends and hears for a while.
fn pace(audio: &mut Audio, now: &impl Fn() -> u64, length: Duration) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        audio.step(now());
        std::thread::sleep(Duration::from_micros(100));
    }
}
