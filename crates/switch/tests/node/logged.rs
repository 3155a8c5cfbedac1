//! Whatever is logged in a turn of a call says whose turn it is, and the span that says so ends with the call.

use crate::bench::{Bench, Peer, until};
use crate::failing_call::{invite, tables};
use sip::{Builder, Method, Name};
use std::collections::HashSet;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tracing::span;
use tracing::subscriber::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// Spans of calls: how many have begun, and how many of these have ended.
#[derive(Clone, Default)]
struct Spans(Arc<[AtomicUsize; 2]>);

impl Spans {
    fn count(&self) -> [usize; 2] {
        [0, 1].map(|index| self.0[index].load(Ordering::Relaxed))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        self.0[0].fetch_add(usize::from(attributes.metadata().name() == "call"), Ordering::Relaxed);
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let is_call = context.metadata(&id).is_some_and(|metadata| metadata.name() == "call");
        self.0[1].fetch_add(usize::from(is_call), Ordering::Relaxed);
    }
}

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
    /// Those with these words.
    fn with(&self, words: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it").clone();
        String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

// On one thread: only there the subscriber of this test is the one that hears.
#[tokio::test]
async fn a_line_of_a_turn_names_its_call_whose_span_ends_with_it() {
    let (spans, text, json) = (Spans::default(), Lines::default(), Lines::default());
    let (to_text, to_json) = (text.clone(), json.clone());
    let layer = fmt::layer().with_ansi(false).with_writer(move || to_text.clone());
    let _heard = tracing::subscriber::set_default(
        tracing_subscriber::registry()
            .with(tracing_subscriber::filter::LevelFilter::WARN)
            .with(spans.clone())
            .with(layer)
            .with(fmt::layer().json().with_writer(move || to_json.clone())),
    );
    let (caller, callee) = (Peer::bind(61).await, Peer::bind(62).await);
    let bench = Bench::start(61, 41_500, Vec::new(), &tables(&caller, callee.address)).await;
    let directory = &bench.node.shell().calls.directory;
    // There is media for four calls.
    let mut offers = Vec::new();
    for _ in 0..4 {
        caller.send(&invite(&caller, bench.address), bench.address).await;
        offers.push(callee.request(Method::Invite).await);
    }
    let former: Vec<String> = directory.some(9).into_iter().map(|(id, _)| id.to_string()).collect();
    caller.send(&invite(&caller, bench.address), bench.address).await;
    until("a call has no media", || !text.with("no media for a call").is_empty()).await;
    assert_eq!(spans.count()[0], 5, "one a call, however many turns it has taken");
    let (line, structured) = (text.with("no media for a call").concat(), json.with("no media for a call").concat());
    let id = line.split("call=").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_else(|| panic!("{line}"));
    assert!(line.contains(&format!("call{{call={id}}}: ")) && !former.iter().any(|other| other == id), "{line}");
    assert!(structured.contains(&format!("\"span\":{{\"call\":\"{id}\",\"name\":\"call\"}}")), "{structured}");
    assert!(call::CallId::parse(id.as_bytes()).is_some(), "{id}");

    for (offer, from) in offers {
        callee.answer(&offer, from, 486, &[]).await;
    }
    let mut refused = HashSet::new();
    while refused.len() < 5 {
        let (response, _) = caller.expect().await;
        let number = response.cseq().expect("a CSeq").number;
        if response.code() >= Some(300) {
            let ack = Builder::request(Method::Ack, "sip:x@test").header(Name::CSeq, format_args!("{number} ACK"));
            let ack = ack.copy(&response, &[Name::Via, Name::From, Name::To, Name::CallId]);
            caller.send(&ack.header(Name::MaxForwards, 70).finish(), bench.address).await;
            refused.insert(number);
        }
    }
    until("every call has ended", || directory.is_empty()).await;
    assert_eq!(spans.count(), [5, 5], "{}", text.with("").join("\n"));
    bench.stop().await;
}
