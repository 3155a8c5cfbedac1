use super::*;
use ::call::CallId;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use switch::calls::span::Turn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, fmt};

/// What was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn all(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it").clone();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

/// Spans that have begun, those that were left, and those that have ended.
#[derive(Clone, Default)]
struct Spans(Arc<[AtomicUsize; 3]>);

impl Spans {
    fn count(&self) -> [usize; 3] {
        [0, 1, 2].map(|index| self.0[index].load(Ordering::Relaxed))
    }
}

impl<S: Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_line_of_a_turn_looks_as_if_the_turn_were_in_a_span_of_its_call() {
    let (text, json, spans) = (Lines::default(), Lines::default(), Spans::default());
    let (to_text, to_json) = (text.clone(), json.clone());
    let inside = tracing_subscriber::registry()
        .with("info".parse::<Targets>().expect("a directive"))
        .with(spans.clone())
        .with(fmt::layer().with_ansi(false).without_time().with_target(false).with_writer(move || to_text.clone()))
        .with(fmt::layer().json().without_time().with_target(false).with_writer(move || to_json.clone()));
    let _heard = tracing::subscriber::set_default(ByLine(inside));
    let id = CallId { shard: 1023, epoch: 1, call: 42 };
    let line = |number: u32| tracing::warn!(number, "no media");
    {
        let _turn = Turn::of(id);
        tracing::debug!("nobody wants this");
        assert_eq!(spans.count(), [0, 0, 0], "a turn without a line has none");
        line(7);
        {
            let _other = Turn::of(CallId { call: 43, ..id });
            line(8);
        }
        tracing::info_span!("moving", to = 3).in_scope(|| line(9));
    }
    assert_eq!(spans.count(), [4, 4, 4], "each is left and ends with its line");
    line(10);
    tracing::error_span!(parent: None, "call", call = %id).in_scope(|| line(7));
    let (text, json) = (text.all(), json.all());
    assert_eq!(text.len(), 5, "{text:?}");
    for lines in [&text, &json] {
        assert_eq!(lines[0], lines[4], "as with a span that was entered");
        assert!(lines[1].contains("3ff.1.2b") && !lines[1].contains("3ff.1.2a"), "{lines:?}");
        assert!(lines[2].contains("3ff.1.2a"), "{lines:?}");
        assert!(!lines[3].contains("3ff"), "no turn any more: {lines:?}");
    }
    assert!(text[0].contains("call{call=3ff.1.2a}: no media number=7"), "{text:?}");
    assert!(json[0].contains(r#""span":{"call":"3ff.1.2a","name":"call"}"#), "{json:?}");
}
