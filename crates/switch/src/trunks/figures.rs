//! What Prometheus sees of one trunk: handles taken once, so that counting on the path of a call is one addition.

use ::call::effect::{Direction, Event};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

struct Way {
    name: &'static str,
    attempts: Counter,
    answered: Counter,
    active: Gauge,
    duration: Histogram,
    mos: Histogram,
    failures: Mutex<FxHashMap<u16, Counter>>,
}

/// See the module.
pub(crate) struct Figures {
    trunk: String,
    ways: [Way; 2],
    limit: Gauge,
    post_dial_delay: Histogram,
}

impl Figures {
    pub(crate) fn new(trunk: &str) -> Self {
        let trunk = trunk.to_owned();
        Self {
            ways: [Way::new(&trunk, "ingress"), Way::new(&trunk, "egress")],
            limit: gauge!("tandem_channels_limit", "trunk" => trunk.clone()),
            post_dial_delay: histogram!("tandem_post_dial_delay_seconds", "trunk" => trunk.clone(), "direction" => "egress"),
            trunk,
        }
    }

    /// Calls from and to phones, which have no trunk of their own.
    pub(crate) fn of_phones() -> &'static Self {
        static PHONES: OnceLock<Figures> = OnceLock::new();
        PHONES.get_or_init(|| Self::new(""))
    }

    pub(crate) fn limit(&self, channels: u32) {
        self.limit.set(f64::from(channels));
    }

    pub(crate) fn count(&self, event: &Event) {
        match event {
            Event::Attempt { direction, .. } => self.way(*direction).attempts.increment(1),
            Event::Answered { direction, .. } => {
                let way = self.way(*direction);
                way.answered.increment(1);
                way.active.increment(1.0);
            }
            Event::Carried { direction, here, .. } => {
                let active = &self.way(*direction).active;
                if *here { active.increment(1.0) } else { active.decrement(1.0) }
            }
            Event::Moved { .. } => {}
            Event::Rang { delay, .. } => self.post_dial_delay.record(delay.as_secs_f64()),
            Event::Failed { direction, code, .. } => self.way(*direction).fail(&self.trunk, *code),
            Event::Heard { direction, mos, .. } => self.way(*direction).mos.record(f64::from(*mos)),
            Event::Ended { direction, duration, .. } => {
                let way = self.way(*direction);
                way.active.decrement(1.0);
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

impl Way {
    fn new(trunk: &str, name: &'static str) -> Self {
        let labels = [("trunk", trunk.to_owned()), ("direction", name.to_owned())];
        Self {
            name,
            attempts: counter!("tandem_call_attempts_total", &labels),
            answered: counter!("tandem_calls_answered_total", &labels),
            active: gauge!("tandem_calls_active", &labels),
            duration: histogram!("tandem_call_duration_seconds", &labels),
            mos: histogram!("tandem_mos", &labels),
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
