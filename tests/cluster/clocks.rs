//! The wall clock of a node jumps by an hour, and nothing happens but that its records say so.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tests::cluster::{ALPHA, CARRIER_PORT, PBX};
use tests::process::{report, wait_until};
use tests::{Agent, Cdr, Cluster, Lab};

use crate::distance::steady;

/// The node whose clock jumps.
const JUMPER: &str = "lon-1";
const HOUR: i64 = 3_600;
/// How long is watched after a jump: longer than any lease, detection or retransmission.
const WATCH: Duration = Duration::from_secs(4);
const WAIT: Duration = Duration::from_secs(4);
/// A record is in a closed file soon after the call.
const RECORDED: Duration = Duration::from_secs(40);
/// The phone's host number, and its number of the tables.
const PHONE: u8 = 130;
const NUMBER: &str = "442071230001";

/// Debian's libfaketime, which `scripts/install` installs.
fn library() -> PathBuf {
    let mut folders = std::fs::read_dir("/usr/lib").expect("a system").flatten().map(|entry| entry.path());
    let library =
        folders.find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists()));
    library.expect("libfaketime is not installed: run scripts/install test")
}

/// A wall clock that a test can set.
struct WallClock(PathBuf);

impl WallClock {
    /// Of a node from its next start on. Monotonic time goes on as it does.
    fn of(cluster: &mut Cluster<'_>, lab: &Lab, node: &str) -> Self {
        let clock = Self(lab.path("clock"));
        clock.set(0);
        let (library, file) = (library(), clock.0.to_string_lossy().into_owned());
        for (name, value) in [
            ("LD_PRELOAD", &*library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            cluster.set_variable(node, name, value);
        }
        clock
    }

    /// So many seconds ahead of the true time.
    fn set(&self, ahead: i64) {
        // In one step: a file that is half written would be read.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{ahead:+}\n")).expect("writable");
        std::fs::rename(new, &self.0).expect("the same folder");
    }
}

/// Seconds since 1970 of an RFC 3339 time in UTC.
fn seconds(time: &str) -> i64 {
    let number = |from: usize, to: usize| time.get(from..to).and_then(|text| text.parse::<i64>().ok());
    let part = |from, to| number(from, to).unwrap_or_else(|| panic!("`{time}` is no time"));
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days of the civil calendar, counted from a March, so that a leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    days * 86_400 + part(11, 13) * 3_600 + part(14, 16) * 60 + part(17, 19)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("not so late")
}

/// Partners, and the calls that were up before any jump: one at each node.
struct World<'c> {
    cluster: &'c Cluster<'c>,
    pbx: Agent,
    phone: Agent,
    standing: Vec<(String, String)>,
    began: Instant,
}

impl World<'_> {
    /// For a while calls are made at every node, those that stand still do, and the phone is called through all.
    #[track_caller]
    fn goes_on(&self) {
        let until = Instant::now() + WATCH;
        while Instant::now() < until {
            for (call, node) in &self.standing {
                let told = self.pbx.ask(call, "INFO", node).map(|(code, _)| code);
                assert_eq!(told, Some(200), "a standing call at {node}\n{}", self.cluster.logs());
                let called = self.pbx.dial(node, NUMBER, WAIT);
                let called = called.unwrap_or_else(|code| panic!("{node}: {code}\n{}", self.cluster.logs()));
                assert_eq!(self.pbx.ask(&called, "BYE", node).map(|(code, _)| code), Some(200), "at {node}");
            }
        }
        assert!(self.phone.talks(0, WAIT), "the phone's calls have ended");
    }

    /// A short call at the node whose clock jumps, and the true time at which it began.
    #[track_caller]
    fn short_call(&self) -> (String, i64) {
        let (node, began) = (self.cluster.member(JUMPER).sip(), now());
        let call = self.pbx.dial(&node, "4420123456", WAIT).expect("answered");
        assert_eq!(self.pbx.ask(&call, "BYE", &node).map(|(code, _)| code), Some(200));
        (call, began)
    }

    /// The record of a call at that node.
    #[track_caller]
    fn record(&self, call: &str) -> Cdr {
        let mut record = None;
        wait_until("the record of a call", RECORDED, || {
            let mut cdrs = self.cluster.member(JUMPER).cdrs().into_iter();
            record = cdrs.find(|cdr| cdr.ingress_call_id == call && cdr.last);
            record.is_some()
        });
        record.expect("it was found")
    }
}

#[test]
fn a_wall_clock_that_jumps_by_an_hour_changes_nothing() {
    let lab = Lab::shared();
    let mut cluster = Cluster::new(&lab, topology::bundled::three_sites().expect("valid"));
    let clock = WallClock::of(&mut cluster, &lab, JUMPER);
    cluster.serve();
    let (pbx, phone) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, PHONE, 5060));
    let _carrier = Agent::bind(&lab, ALPHA, CARRIER_PORT);
    assert_eq!(phone.register(&cluster.member(JUMPER).sip(), "alice", "alice-secret"), 200);
    let began = Instant::now();
    let stand = |node: String| (pbx.dial(&node, "4420123456", WAIT).expect("answered"), node);
    let standing = cluster.sip().into_iter().map(stand).collect();
    let world = World { cluster: &cluster, pbx, phone, standing, began };
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| steady(&cluster, Duration::ZERO, &ended));
        let work = scope.spawn(|| jumps(&world, &clock));
        let worked = work.join();
        ended.store(true, Ordering::Relaxed);
        let least = watch.join().expect("nothing happens");
        worked.expect("calls go on");
        report(&format!("a clock jumped by hours to and fro; no lease had less than {least} ms left"));
    });
}

/// Forwards, and back over the true time.
#[track_caller]
fn jumps(world: &World<'_>, clock: &WallClock) {
    let mut short = Vec::new();
    for ahead in [HOUR, -HOUR] {
        clock.set(ahead);
        world.goes_on();
        short.push((world.short_call(), ahead));
    }
    let (own, node) = &world.standing[world.cluster.members().iter().position(|m| m.name() == JUMPER).expect("there")];
    assert_eq!(world.pbx.ask(own, "BYE", node).map(|(code, _)| code), Some(200));
    let lasted = u64::try_from(world.began.elapsed().as_millis()).expect("short");
    let record = world.record(own);
    let told = record.duration_ms.expect("it was answered");
    assert!(told <= lasted && told + 2_000 >= lasted, "the call lasted {lasted} ms, the record says {record:?}");
    for ((call, began), ahead) in short {
        let record = world.record(&call);
        let shown = seconds(&record.started) - began;
        assert!((shown - ahead).abs() < 4, "begun {shown} s ahead of the true time, not {ahead}: {record:?}");
        assert!(record.duration_ms.is_some_and(|ms| ms < 4_000), "a short call: {record:?}");
    }
    assert_eq!(world.phone.register(node, "alice", "alice-secret"), 200, "it registers again");
}
