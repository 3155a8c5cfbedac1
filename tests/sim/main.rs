//! The cluster simulated from a seed: the real mesh, Raft and actors of several nodes in one process, on turmoil's network
//! and clock. `--seed N` replays one run and prints what happens; without it each seed and plan is a test of its own.
//!
//! A run is a process of its own: libc's clocks and chance are replaced in it (`mad-turmoil`), and nothing that an earlier
//! run has counted up is there.

mod channels;
mod chronicle;
mod clients;
mod faults;
mod fleet;
mod ledger;
mod network;
mod owners;
mod panics;
mod partners;
mod phones;
mod run;
mod suite;
mod wire;

use mesh::times::Waits;
use raft_rand::SeedableRng;
use raft_rand::rngs::StdRng;
use run::Order;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match value(&words, "--seed") {
        Some(seed) => replay(seed, &words),
        None => suite::run(),
    }
}

/// The word after this one.
fn value<'w>(words: &'w [String], key: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| word == key)?;
    words.get(at + 1).map(String::as_str)
}

/// One run in this process.
fn replay(seed: &str, words: &[String]) -> ExitCode {
    let Ok(seed) = seed.parse() else { return say("--seed takes a number", 2) };
    let mut order =
        Order { seed, plan: value(words, "--plan").map(str::to_owned), waits: Waits::default(), stale_reads: false };
    match value(words, "--flaw") {
        None => {}
        Some("no-handover") => order.waits.handover = Duration::ZERO,
        Some("early-fence") => order.waits.fence = Duration::ZERO,
        Some("stale-reads") => order.stale_reads = true,
        Some(_) => return say("--flaw takes no-handover, early-fence or stale-reads", 2),
    }
    let quiet = words.iter().any(|word| word == "--quiet");
    panics::watch();
    let chronicle = chronicle::Chronicle::open(!quiet);
    // The origin of the nodes' clocks: before any of them runs.
    let _ = switch::clock::now();
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    // A thread of its own: what the standard library draws once a thread comes from the seed, and only the run draws.
    let running = std::thread::spawn(move || {
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        let verdict = run::run(&order, &chronicle);
        let digest = chronicle.digest();
        if verdict.faults.is_empty() {
            say(&format!("{}\ndigest {digest:016x}", verdict.figures), 0)
        } else {
            let past = if quiet { chronicle.last_lines() + "\n" } else { String::new() };
            say(&format!("{past}FAULT {}\ndigest {digest:016x}", verdict.faults.join("\nFAULT ")), 1)
        }
    });
    running.join().unwrap_or_else(|_| say(&format!("FAULT {}", panics::take().join("\n")), 1))
}

/// The last words of a run.
fn say(what: &str, code: u8) -> ExitCode {
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stdout(), "{what}");
    ExitCode::from(code)
}
