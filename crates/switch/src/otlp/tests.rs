//! Ids, a full queue, and what it costs.

use super::part::What;
use super::*;
use crate::ladder::{Ladder, Ladders};
use crate::{hep, ladder};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use sip::clock::Now;
use sip::{Flow, Transport};
use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

fn id(call: u64) -> CallId {
    CallId { shard: 0x3ff, epoch: 7, call }
}

fn options(percent: u8) -> Options {
    Options { endpoint: "http://127.0.0.1:4317".to_owned(), percent }
}

fn phase(call: u64, what: What) -> Phase {
    Phase { id: id(call), began_us: 1, ended_us: 2, what, events: Vec::new(), dropped: 0 }
}

#[test]
fn a_queue_that_is_full_drops_and_never_waits() {
    let queue = Queue::new(options(100));
    (0..2 * WAITING as u64).for_each(|call| queue.offer(phase(call, What::Routing)));
    let mut waiting = queue.taken.lock().take().expect("nobody has it");
    let kept: Vec<u64> = std::iter::from_fn(|| waiting.try_recv().ok()).map(|one| one.id.call).collect();
    assert_eq!(kept, (0..WAITING as u64).collect::<Vec<_>>());
}

#[test]
fn the_same_calls_are_chosen_as_for_copies_of_messages() {
    let queue = Queue::new(options(30));
    assert!((0..200).all(|call| queue.wants(id(call)) == is_chosen(id(call), 30)));
    assert_eq!((0..200).filter(|call| queue.wants(id(*call))).count(), 60);
}

#[test]
fn every_node_names_a_trace_and_its_root_alike_and_its_own_part_by_itself() {
    let carried = || What::Carried { over: true, figures: None };
    let spans = |number: NodeId, call: u64, what: What| {
        let teller = Teller { node: format!("n{number}"), site: "lab".to_owned(), number };
        let batch = span::batch(&teller, &[phase(call, what)], &|node| node.to_string());
        batch.scope_spans[0].spans[0].clone()
    };
    let [one, two] = [1, 2].map(|number| spans(number, 42, What::Routing));
    assert_eq!((&one.trace_id, &one.span_id, &one.parent_span_id), (&two.trace_id, &two.span_id, &two.parent_span_id));
    assert_eq!(one.trace_id, *b"td\x03\xff\0\0\0\x07\0\0\0\0\0\0\0\x2a");
    let [one, two] = [1, 2].map(|number| spans(number, 42, carried()));
    assert_ne!(one.span_id, two.span_id);
    assert_eq!(one.parent_span_id, two.parent_span_id);
    let leg = |attempt| part::Leg { attempt, trunk: "t".into(), code: 200 };
    let whats = (1..=12).flat_map(|attempt| [What::Attempt(leg(attempt)), What::Conversation(leg(attempt))]);
    let all: Vec<Vec<u8>> = whats
        .chain([What::Routing, carried()])
        .map(|what| spans(1, 42, what).span_id)
        .chain([one.parent_span_id])
        .collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert!(all.iter().all(|id| id.len() == 8 && id.iter().any(|byte| *byte != 0)));
}

/// A collector that counts.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

#[tonic::async_trait]
impl TraceService for Counter {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let batches = request.into_inner().resource_spans;
        let spans = batches.iter().flat_map(|batch| &batch.scope_spans).map(|scope| scope.spans.len());
        self.0.fetch_add(spans.sum(), Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn what_waits_at_the_end_of_a_node_is_sent() {
    const SPANS: usize = BATCH + 20;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let counter = Counter::default();
    let service = TraceServiceServer::new(counter.clone());
    let serving = Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
    let serving = tokio::spawn(serving);
    let queue = Queue::new(Options { endpoint, percent: 100 });
    let teller = Teller { node: "n1".to_owned(), site: "lab".to_owned(), number: 1 };
    let collector = Collector::new(&queue.options, teller).expect("an address");
    (0..SPANS as u64).for_each(|call| queue.offer(phase(call, What::Routing)));
    let mut waiting = queue.taken.lock().take().expect("nobody has it");
    let (end, ended) = oneshot::channel();
    end.send(()).expect("it is heard");
    timeout(GATHER, export(collector, &|node| node.to_string(), &mut waiting, ended)).await.expect("at once");
    assert_eq!(counter.0.load(Ordering::Relaxed), SPANS);
    serving.abort();
}

/// Nanoseconds that the notes of one call take, with so many messages.
fn cost(ladders: &Ladders, calls: u64) -> u128 {
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
    let flow = Flow::new(Transport::Udp, address, address);
    let bytes = bytes::Bytes::from_static(
        b"INVITE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
          Call-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@h>\r\nContent-Length: 0\r\n\r\n",
    );
    let began = std::time::Instant::now();
    for call in 0..calls {
        let ladder = Ladder::default();
        for _ in 0..12 {
            ladders.received(id(call), &ladder, Now::default(), black_box(&bytes), &flow);
        }
        ladders.over(id(call), &ladder, Now::default().mono);
    }
    began.elapsed().as_nanos() / u128::from(calls)
}

#[test]
#[ignore = "it measures; `cargo test --release -p switch what_traces_cost -- --ignored --nocapture`"]
#[allow(clippy::print_stdout, reason = "what it measures is for whoever runs it")]
fn what_traces_cost_a_call() {
    let none = ladder::Options { messages: 0, ..ladder::Options::default() };
    for (name, percent) in [("without", None), ("not chosen", Some(0)), ("chosen", Some(100))] {
        let queue = percent.map(|percent| Queue::new(options(percent)));
        let ladders = Ladders::new(none, None::<hep::Queue>, queue);
        let least = (0..5).map(|_| cost(&ladders, 50_000)).min().unwrap_or_default();
        println!("{name}: {least} ns a call of 12 messages");
    }
}
