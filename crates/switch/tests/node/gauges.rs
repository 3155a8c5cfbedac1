//! The gauges of the metrics facade, readable by a test. A recorder is of one thread, so that tests that use it run their
//! node on a runtime of that thread.

use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// One gauge.
#[derive(Default)]
struct Value(Mutex<Option<f64>>);

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        let mut now = self.0.lock().expect("not poisoned");
        *now = Some(now.unwrap_or(0.0) + value);
    }

    fn decrement(&self, value: f64) {
        self.increment(-value);
    }

    fn set(&self, value: f64) {
        *self.0.lock().expect("not poisoned") = Some(value);
    }
}

/// All gauges; the rest is thrown away.
#[derive(Default)]
pub(crate) struct Gauges(Mutex<HashMap<String, Arc<Value>>>);

impl Gauges {
    /// The value of a gauge with these values of its labels; nothing if it was never set.
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let gauges = self.0.lock().expect("not poisoned");
        let value = gauges.get(&format!("{name} {}", labels.join(" ")))?;
        *value.0.lock().expect("not poisoned")
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        let value = Arc::clone(self.0.lock().expect("not poisoned").entry(name).or_default());
        Gauge::from_arc(value)
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
