//! What Prometheus sees of one trunk: handles taken once, so that counting on the path of a call is one addition.

use ::call::effect::{Direction, Event};
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What has gone over a trunk one way since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Answered calls that are up.
    pub active: i64,
    /// Calls or attempts.
    pub attempts: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that rang.
    pub rang: u64,
    /// Until they rang, all together.
    pub until_ring: Duration,
    /// Legs that were heard.
    pub heard: u64,
    /// Their listening quality in thousandths, all together.
    pub mos_milli: u64,
}

/// The same, to be added to. The recorder's own figures cannot be read back.
#[derive(Default)]
struct Sums {
    attempts: AtomicU64,
    answered: AtomicU64,
    rang: AtomicU64,
    until_ring_us: AtomicU64,
    heard: AtomicU64,
    mos_milli: AtomicU64,
}

struct Way {
    name: &'static str,
    attempts: Counter,
    answered: Counter,
    /// Answered calls that are up. Read when somebody asks, so that a trunk that was removed is not told of for ever.
    active: AtomicI64,
    sums: Sums,
    duration: Histogram,
    mos: Histogram,
    one_way: Counter,
    silent: Counter,
    failures: Mutex<FxHashMap<u16, Counter>>,
}

/// See the module.
pub(crate) struct Figures {
    trunk: String,
    ways: [Way; 2],
    post_dial_delay: Histogram,
}

impl Figures {
    pub(crate) fn new(trunk: &str) -> Self {
        let trunk = trunk.to_owned();
        Self {
            ways: [Way::new(&trunk, "ingress"), Way::new(&trunk, "egress")],
            post_dial_delay: histogram!("tandem_post_dial_delay_seconds", "trunk" => trunk.clone(), "direction" => "egress"),
            trunk,
        }
    }

    /// Calls from and to phones, which have no trunk of their own.
    pub(crate) fn of_phones() -> &'static Self {
        static PHONES: OnceLock<Figures> = OnceLock::new();
        PHONES.get_or_init(|| Self::new(""))
    }

    /// What has gone over it, ingress and egress.
    pub(crate) fn traffic(&self) -> [Traffic; 2] {
        self.ways.each_ref().map(Way::traffic)
    }

    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Attempt { direction, .. } => {
                let way = self.way(*direction);
                way.attempts.increment(1);
                add(&way.sums.attempts, 1);
            }
            Event::Answered { direction, .. } => {
                let way = self.way(*direction);
                way.answered.increment(1);
                add(&way.sums.answered, 1);
                way.active.fetch_add(1, Ordering::Relaxed);
            }
            Event::Carried { direction, here, .. } => {
                self.way(*direction).active.fetch_add(if *here { 1 } else { -1 }, Ordering::Relaxed);
            }
            Event::Moved { .. } => {}
            Event::Rang { delay, .. } => {
                self.post_dial_delay.record(delay.as_secs_f64());
                let sums = &self.way(Direction::Egress).sums;
                add(&sums.rang, 1);
                add(&sums.until_ring_us, u64::try_from(delay.as_micros()).unwrap_or(0));
            }
            Event::Failed { direction, code, .. } => self.way(*direction).fail(&self.trunk, *code),
            Event::Heard { direction, mos, .. } => {
                let way = self.way(*direction);
                way.mos.record(f64::from(*mos));
                add(&way.sums.heard, 1);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 4.5")]
                add(&way.sums.mos_milli, (mos.clamp(0.0, 5.0) * 1000.0) as u64);
            }
            Event::Unheard { direction, both, .. } => {
                let way = self.way(*direction);
                if *both { way.silent.increment(1) } else { way.one_way.increment(1) }
            }
            Event::Ended { direction, duration, .. } => {
                let way = self.way(*direction);
                way.active.fetch_sub(1, Ordering::Relaxed);
                way.duration.record(duration.as_secs_f64());
            }
        }
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Ingress => &self.ways[0],
            Direction::Egress => &self.ways[1],
        }
    }
}

fn add(sum: &AtomicU64, more: u64) {
    sum.fetch_add(more, Ordering::Relaxed);
}

impl Way {
    fn traffic(&self) -> Traffic {
        let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        let Sums { attempts, answered, rang, until_ring_us, heard, mos_milli } = &self.sums;
        Traffic {
            active: self.active.load(Ordering::Relaxed),
            attempts: read(attempts),
            answered: read(answered),
            rang: read(rang),
            until_ring: Duration::from_micros(read(until_ring_us)),
            heard: read(heard),
            mos_milli: read(mos_milli),
        }
    }

    fn new(trunk: &str, name: &'static str) -> Self {
        let labels = [("trunk", trunk.to_owned()), ("direction", name.to_owned())];
        Self {
            name,
            attempts: counter!("tandem_call_attempts_total", &labels),
            answered: counter!("tandem_calls_answered_total", &labels),
            active: AtomicI64::new(0),
            sums: Sums::default(),
            duration: histogram!("tandem_call_duration_seconds", &labels),
            mos: histogram!("tandem_mos", &labels),
            one_way: counter!("tandem_media_one_way_total", &labels),
            silent: counter!("tandem_media_silent_total", &labels),
            failures: Mutex::default(),
        }
    }

    fn fail(&self, trunk: &str, code: u16) {
        let mut failures = self.failures.lock();
        let counter = failures.entry(code).or_insert_with(|| {
            let labels =
                [("trunk", trunk.to_owned()), ("direction", self.name.to_owned()), ("sip_code", code.to_string())];
            counter!("tandem_call_failures_total", &labels)
        });
        counter.increment(1);
    }
}
