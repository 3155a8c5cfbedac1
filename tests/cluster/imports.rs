//! A million rates come in while calls are made: none waits for them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tests::agent::{Echo, Pacer};
use tests::cluster::Member;
use tests::process::{report, sleep_until, wait_until};
use tests::{Cluster, Lab};

use crate::calls::wide;

/// Rates of the file.
const RATES: u32 = 1_000_000;
/// From the first byte to the rates in force everywhere.
const IMPORTED: Duration = Duration::from_secs(60);
/// How much longer an INVITE may wait for its first answer because of it.
const LONGER: Duration = Duration::from_millis(5);
/// Watched before: as long as an import may take, of which as much is compared as it took.
const BEFORE: Duration = Duration::from_secs(30);
/// What is looked at to know what memory costs, in bytes.
const FRESH: usize = 1 << 29;
const PAGE: usize = 4096;
/// Between two calls.
const PACE: Duration = Duration::from_millis(10);
/// The host of the threads that are idle.
const ECHO: u8 = 141;
/// The host of the PBX without a limit, and a port of it.
const PBX: (u8, u16) = (140, 5070);

fn file(rates: u32) -> String {
    let mut csv = "prefix,rate,initial,next\n".to_owned();
    for number in 0..rates {
        let _ = writeln!(csv, "{},0.{:04},1,1", 10_000_000 + number * 7, number % 10_000);
    }
    csv
}

/// CPU time that a node has used so far, its own and that of the kernel for it, in seconds; and the pages that it was given.
fn used(node: &Member) -> [f64; 3] {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.process_id())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Two fields are gone (proc(5): utime and stime are the 14th and 15th, in hundredths of a second, minflt the 10th).
    let field = |field: usize| fields[field].parse::<f64>().expect("a number");
    [field(11) / 100.0, field(12) / 100.0, field(7)]
}

fn used_by_all(cluster: &Cluster<'_>) -> [f64; 3] {
    cluster.members().iter().map(used).fold([0.0; 3], |sum, one| std::array::from_fn(|at| sum[at] + one[at]))
}

/// What it takes to be given memory: microseconds a page, and the longest wait for one. On a machine whose host has taken its free
/// memory back all that runs on a processor waits for each page: to be known before an import is judged.
fn fresh_memory() -> (f64, Duration) {
    let mut memory = vec![0u8; FRESH];
    let began = Instant::now();
    let (mut last, mut longest) = (began, Duration::ZERO);
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
        let now = Instant::now();
        (longest, last) = (longest.max(now - last), now);
    }
    std::hint::black_box(&memory);
    ((last - began).as_secs_f64() * 1e6 / (FRESH / PAGE) as f64, longest)
}

/// Imports so many rates at one node while calls are made at all of them.
#[track_caller]
fn calls_go_on(lab: &Lab, rates: u32, before: Duration) {
    let (cluster, _pbx, _carrier) = wide(lab);
    let importer = cluster.members().iter().find(|member| Some(member.name()) != cluster.leader().as_deref());
    let importer = importer.expect("one that does not lead");
    importer.put_tables("[[deck]]\nname = \"many\"\ncurrency = \"EUR\"\n").expect("a deck");
    let csv = file(rates);
    let (page, longest) = fresh_memory();
    report(&format!("this machine gives a page of memory in {page:.2} us, at the longest in {longest:?}"));
    let pacer = Pacer::start(lab, PBX, &cluster.sip(), "4420123456", PACE);
    let echo = Echo::start(lab, ECHO, PACE);
    sleep_until(Instant::now() + before);
    let (began, before_it) = (Instant::now(), used_by_all(&cluster));
    let imported = importer.import_rates("many", &csv);
    let answered = began.elapsed();
    let imported = imported.unwrap_or_else(|error| panic!("{error:?}\n{}", cluster.logs()));
    assert_eq!(imported["added"], rates, "{imported}");
    let revision = imported["revision"].as_u64().expect("a number");
    for member in cluster.members() {
        wait_until("the rates, everywhere", IMPORTED, || member.own_revision() >= revision);
    }
    let ended = Instant::now();
    let (took, after_it) = (ended - began, used_by_all(&cluster));
    // What was placed in the last moment is answered in the next.
    sleep_until(ended + Duration::from_secs(1));
    let compared = took.min(before);
    let (quiet, busy) = (pacer.between(began - compared, began), pacer.between(began, ended));
    report(&format!("{rates} rates: answered after {answered:?}, in force everywhere after {took:?}"));
    let machine = [echo.between(began - compared, began), echo.between(began, ended)];
    let [own, kernel, pages] = std::array::from_fn(|at| after_it[at] - before_it[at]);
    report(&format!(
        "the three nodes used {own:.1} s of CPU and {kernel:.1} s of the kernel for it, and were given {:.0} MB",
        pages * PAGE as f64 / 1e6
    ));
    report(&format!("the {compared:?} before: an INVITE waited for its first answer: {quiet}"));
    report(&format!("the {compared:?} before: a datagram between two idle threads: {}", machine[0]));
    report(&format!("meanwhile: an INVITE waited for its first answer: {busy}"));
    report(&format!("meanwhile: a datagram between two idle threads: {}", machine[1]));
    for (placed, node, waited) in &busy.slowest {
        report(&format!("  {:?} after the first byte, at {node}: {waited:?}", *placed - began));
    }
    for waits in [&quiet, &busy] {
        assert_eq!(waits.codes.keys().copied().collect::<Vec<_>>(), [200], "{:?}", waits.codes);
        assert_eq!(waits.open, 0, "each has an answer");
    }
    assert!(took < IMPORTED, "in force everywhere after {took:?}");
    let allowed = quiet.quantile(1.0) + LONGER;
    let longest = busy.quantile(1.0);
    assert!(
        longest <= allowed,
        "an INVITE waited {longest:?}; without an import none waited longer than {allowed:?} less 5 ms"
    );
}

#[test]
#[ignore = "a figure of a release build: make figures"]
fn figure_a_million_rates_while_calls_are_made() {
    calls_go_on(&Lab::alone(), RATES, BEFORE);
}
