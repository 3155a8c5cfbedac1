//! Ten thousand calls of one node at once: when it dies they are led on at a pace that no partner is harmed by, and new calls go on
//! meanwhile. They carry no audio: what is asked here is how many re-INVITEs a partner gets in a second.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use load::{NumberRange, Options, Progress, Report};
use tests::cluster::{ALPHA, CARRIER_PORT, Member, PBX};
use tests::process::{holds_within, report, sleep_until, wait_until};
use tests::{Cluster, Lab};

/// Calls of the node that dies, and how fast they are placed.
const CALLS: u64 = 10_000;
const PLACED: f64 = 400.0;
/// New calls a second at the nodes that live, while the others are led on.
const FRESH: f64 = 50.0;
/// No call ends by itself before its run is over.
const HOLD: Duration = Duration::from_secs(600);
const FRESH_HOLD: Duration = Duration::from_secs(2);
/// A node takes so many calls over in a second, and half a second's worth at once after a rest, whatever the partners bear.
const NODE: u64 = 500 + 250;
/// In which all must have been led on.
const LIMIT: Duration = Duration::from_secs(60);
const RECORDS_LIMIT: Duration = Duration::from_secs(60);
/// How often the partners are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A generator in a thread of its own.
struct Running {
    progress: Arc<Progress>,
    thread: JoinHandle<Result<Report, load::Error>>,
}

impl Running {
    fn start(options: Options) -> Self {
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        Self { progress, thread: std::thread::spawn(move || load::run(&options, &shared)) }
    }

    #[track_caller]
    fn end(self) -> Report {
        self.progress.stop();
        self.thread.join().expect("it does not panic").expect("it can call")
    }
}

/// The most calls that moved in any second, from samples of when how many had.
fn most_in_a_second(samples: &[(Instant, u64)]) -> u64 {
    let within = |at: Instant| move |(later, _): &&(Instant, u64)| later.duration_since(at) <= Duration::from_secs(1);
    let in_second = |index: usize| {
        let (at, before) = samples[index];
        samples[index..].iter().take_while(within(at)).last().map_or(0, |(_, after)| after - before)
    };
    (0..samples.len()).map(in_second).max().unwrap_or(0)
}

/// The tables of the three sites, with room for these calls, whose audio goes past the nodes.
fn tables(text: &str) -> String {
    let mut tables: toml::Table = toml::from_str(text).expect("valid");
    let trunks = tables["trunk"].as_array_mut().expect("there are trunks");
    for trunk in trunks.iter_mut().filter_map(toml::Value::as_table_mut) {
        trunk.insert("media".to_owned(), "bypass".into());
        if let Some(channels) = trunk.get_mut("channels").filter(|channels| channels.as_integer() > Some(1_000)) {
            *channels = 100_000.into();
        }
    }
    toml::to_string(&tables).expect("valid")
}

/// From the PBX, with numbers that it may show, to numbers of the carrier.
fn options(caller: SocketAddr, callee: Option<SocketAddr>, entrances: &[SocketAddr]) -> Options {
    let mut options = Options::new(caller, callee, entrances[0]);
    options.more_targets = entrances[1..].to_vec();
    options.duration = HOLD;
    options.caller_numbers = NumberRange { first: "+442071230100".into(), count: 100 };
    options.called_numbers = NumberRange { first: "+447700900000".into(), count: 10_000 };
    options
}

/// How the calls of a dead node were led on.
struct Course {
    /// From the kill to the first one, and to the last one.
    first: Duration,
    last: Duration,
    moved: u64,
    /// In any second.
    most: u64,
}

/// Watches calls move, until all have or the time is over.
fn watch(held: &Progress, killed: Instant) -> Course {
    let mut samples = vec![(killed, 0)];
    holds_within(LIMIT, || {
        let moved = held.snapshot().moved;
        samples.push((Instant::now(), moved));
        sleep_until(Instant::now() + LOOK);
        moved >= CALLS
    });
    let first = samples.iter().find(|(_, moved)| *moved > 0).map_or(LIMIT, |(at, _)| *at - killed);
    let last = samples.last().map_or(LIMIT, |(at, _)| *at - killed);
    Course { first, last, moved: samples.last().map_or(0, |(_, moved)| *moved), most: most_in_a_second(&samples) }
}

/// Answered calls that have a final record, and how many of them have more than one.
fn records(cluster: &Cluster<'_>, expected: u64) -> (u64, usize) {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    holds_within(RECORDS_LIMIT, || {
        rows.clear();
        let finals = cluster.members().iter().flat_map(Member::cdrs).filter(|row| row.last && row.is_answered());
        finals.for_each(|row| *rows.entry(row.call_id).or_default() += 1);
        rows.len() as u64 >= expected
    });
    (rows.len() as u64, rows.values().filter(|count| **count > 1).count())
}

/// A node dies with ten thousand calls.
#[track_caller]
pub(crate) fn storm() {
    let lab = Lab::alone();
    let mut cluster = Cluster::serving(&lab);
    let text = tables(&cluster.topology().tables.as_ref().expect("it has tables").text);
    let revision = cluster.apply(cluster.members()[0].name(), &text);
    cluster.wait_revision(revision, Duration::from_secs(5));
    let leader = cluster.leader().expect("somebody leads");
    let dies = cluster.other_than(&leader).name().to_owned();
    let sip = |member: &Member| member.sip().parse().expect("an address and a port");
    let others: Vec<SocketAddr> = cluster.members().iter().filter(|member| member.name() != dies).map(sip).collect();
    let pbx = |port| SocketAddr::new(lab.host(PBX), port);

    let carrier = SocketAddr::new(lab.host(ALPHA), CARRIER_PORT);
    let held = options(pbx(5060), Some(carrier), &[sip(cluster.member(&dies))]);
    let held = Running::start(Options { rate: PLACED, calls: Some(CALLS), hold: HOLD, ..held });
    wait_until("the calls are up", Duration::from_secs(90), || held.progress.snapshot().answered >= CALLS);
    wait_until("each has its copy", Duration::from_secs(30), || {
        cluster.member(&dies).metric("tandem_calls_unprotected", "") == 0.0
    });
    let fresh = Running::start(Options { rate: FRESH, hold: FRESH_HOLD, ..options(pbx(5070), None, &others) });
    wait_until("new calls are answered", Duration::from_secs(10), || fresh.progress.snapshot().completed > 0);

    let before = fresh.progress.snapshot().answered;
    let killed = Instant::now();
    cluster.kill(&dies);
    let course = watch(&held.progress, killed);
    let meanwhile = fresh.progress.snapshot().answered - before;
    let (fresh, held) = (fresh.end(), held.end());
    let Course { first, last, moved, most } = course;
    report(&format!(
        "{CALLS} calls of one node: {moved} led on, the first {:.2} s and the last {:.1} s after the kill; at most {most} in a second, \
         each to two partners",
        first.as_secs_f64(),
        last.as_secs_f64()
    ));
    let ringing = |us: u64| Duration::from_micros(us).as_secs_f64() * 1_000.0;
    let (p50, p99) = (fresh.post_dial_delay_us.p50, fresh.post_dial_delay_us.p99);
    report(&format!(
        "{:<24}{meanwhile} new calls answered meanwhile, {} of {} failed; ringing after {:.1} ms, p99 {:.1} ms",
        "",
        fresh.failed,
        fresh.offered,
        ringing(p50),
        ringing(p99)
    ));
    cluster.restart(&dies);
    cluster.wait_formed();
    let expected = CALLS + fresh.answered;
    let records = records(&cluster, expected);
    report(&format!("{:<24}records: {} of {expected} answered calls, {} doubled", "", records.0, records.1));

    let why = || format!("{held}\n{:?}\n{fresh}\n{:?}\n{}", held.failures, fresh.failures, cluster.logs());
    assert_eq!(moved, CALLS, "not all were led on: {}", why());
    assert!(held.failed_answered == 0 && held.still_open == 0, "an established call was lost: {}", why());
    assert_eq!(held.stale, 0, "a former owner was heard: {}", why());
    // Each heir has a pace of its own. A look that comes late sees some of the next second.
    let limit = NODE * others.len() as u64;
    assert!(most <= limit * 21 / 20, "{most} in a second: {}", why());
    assert_eq!(fresh.failed, 0, "a new call was harmed: {}", why());
    assert_eq!(records, (expected, 0), "records: {}", why());
}
