//! Traces of some calls, for a collector of OpenTelemetry: OTLP over gRPC. Each node sends what it knows of a call as soon as a
//! phase of it is over ([`part`]); all ids follow from the call's name ([`span`]), so what several nodes send is one trace, and
//! nothing travels between them for it.
//!
//! No call waits for it: what does not fit into the queue is dropped and counted, and so is what the collector does not take. The
//! spans hold no number, no address and no name of a line.

mod part;
mod span;

use crate::error::Error;
use crate::hep::is_chosen;
use crate::shell::Shell;
use ::call::CallId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use parking_lot::Mutex;
use part::Phase;
pub(crate) use part::{Happened, Part};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use routing::cluster::NodeId;
use span::Teller;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Spans that may wait to be sent.
const WAITING: usize = 4_096;
/// Spans of one request at the most, …
const BATCH: usize = 512;
/// … and how long the first of them waits for more.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take to be reached, …
const CONNECT: Duration = Duration::from_secs(5);
/// … and to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// A collector that cannot be reached is asked again after these; then the batch is given up.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long the end of a node waits for what has not been sent.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where traces go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// `http://host:port` of the collector's gRPC.
    pub endpoint: String,
    /// Of so many calls in a hundred traces are sent, 0 to 100: of the same ones by every node.
    pub percent: u8,
}

/// What calls hold of it.
pub struct Queue {
    options: Options,
    waiting: Sender<Phase>,
    /// Whoever sends; it is put back when that ends.
    taken: Arc<Mutex<Option<Receiver<Phase>>>>,
}

impl Queue {
    /// For the collector that `options` name.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (waiting, taken) = channel(WAITING);
        Self { options, waiting, taken: Arc::new(Mutex::new(Some(taken))) }
    }

    /// Whether a call is among those that are traced.
    pub(crate) fn wants(&self, id: CallId) -> bool {
        is_chosen(id, self.options.percent)
    }

    /// Takes a phase, if there is room.
    fn offer(&self, phase: Phase) {
        if self.waiting.try_send(phase).is_err() {
            metrics::counter!("tandem_queue_full_total", "queue" => "otlp").increment(1);
        }
    }
}

/// Sends what waits.
struct Exporter;

/// It takes no messages.
enum Nothing {}

/// The task that sends, and how it is told to end.
struct Exporting {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

/// Starts the actor that sends, where there is a collector; `node` and `site` are this node's names.
///
/// # Errors
/// [`Error::Spawn`].
pub(crate) async fn spawn(
    shell: Arc<Shell>,
    (node, site): (String, String),
    supervisor: ActorCell,
) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Exporter, (shell, node, site), supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Exporter {
    type Msg = Nothing;
    type State = Option<Exporting>;
    type Arguments = (Arc<Shell>, String, String);

    async fn pre_start(
        &self,
        _: ActorRef<Nothing>,
        (shell, node, site): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let Some(queue) = shell.ladders.otlp() else { return Ok(None) };
        let collector = Collector::new(&queue.options, Teller { node, site, number: shell.cluster.me() })?;
        let (taken, (end, ended)) = (Arc::clone(&queue.taken), oneshot::channel());
        let task = tokio::spawn(async move {
            // An earlier exporter puts it back at its end, which may be a moment after its successor begins.
            let Some(waiting) = taken.lock().take() else { return };
            let mut held = Held { taken, waiting: Some(waiting) };
            if let Some(waiting) = &mut held.waiting {
                export(collector, &|node| name_of(&shell, node), waiting, ended).await;
            }
        });
        Ok(Some(Exporting { task, end }))
    }

    async fn post_stop(&self, _: ActorRef<Nothing>, exporting: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let Some(Exporting { mut task, end }) = exporting.take() else { return Ok(()) };
        // The calls have just ended: their spans wait.
        let _ = end.send(());
        if timeout(FAREWELL, &mut task).await.is_err() {
            task.abort();
            let _ = task.await;
        }
        Ok(())
    }
}

/// The receiving end of the queue, which goes back when its task ends, however that is.
struct Held {
    taken: Arc<Mutex<Option<Receiver<Phase>>>>,
    waiting: Option<Receiver<Phase>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.taken.lock() = self.waiting.take();
    }
}

/// Knows the names of nodes.
type Names<'a> = dyn Fn(NodeId) -> String + Send + Sync + 'a;

/// Sends for as long as anything may come, and what waits when that ends.
async fn export(
    mut collector: Collector,
    name_of: &Names<'_>,
    waiting: &mut Receiver<Phase>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut phases = Vec::with_capacity(BATCH);
    loop {
        let goes_on = tokio::select! {
            goes_on = gather(waiting, &mut phases) => goes_on,
            _ = &mut ended => false,
        };
        while !goes_on && phases.len() < WAITING {
            match waiting.try_recv() {
                Ok(phase) => phases.push(phase),
                Err(_) => break,
            }
        }
        if !phases.is_empty() {
            collector.send(&phases, name_of).await;
        }
        phases.clear();
        if !goes_on {
            return;
        }
    }
}

/// Waits for a phase, and a moment for more; `false` where none will come any more.
async fn gather(waiting: &mut Receiver<Phase>, phases: &mut Vec<Phase>) -> bool {
    if waiting.recv_many(phases, BATCH).await == 0 {
        return false;
    }
    let until = Instant::now() + GATHER;
    while phases.len() < BATCH {
        match timeout_at(until, waiting.recv_many(phases, BATCH - phases.len())).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    true
}

fn name_of(shell: &Shell, node: NodeId) -> String {
    shell.cluster.replicated().member(node).map_or_else(|| node.to_string(), |member| member.name.to_string())
}

/// The way to the collector.
struct Collector {
    client: TraceServiceClient<Channel>,
    endpoint: String,
    teller: Teller,
    /// The last request failed, which was said.
    is_away: bool,
}

impl Collector {
    /// Nothing is connected before there is something to send.
    fn new(options: &Options, teller: Teller) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(options.endpoint.clone())?.connect_timeout(CONNECT).timeout(ANSWER);
        let client = TraceServiceClient::new(endpoint.connect_lazy());
        Ok(Self { client, endpoint: options.endpoint.clone(), teller, is_away: false })
    }

    /// Sends a batch, and counts what became of it.
    async fn send(&mut self, phases: &[Phase], name_of: &Names<'_>) {
        let spans = span::batch(&self.teller, phases, name_of);
        let request = ExportTraceServiceRequest { resource_spans: vec![spans] };
        let all = phases.len() as u64;
        let refused = match self.try_send(request).await {
            Ok(refused) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(collector = %self.endpoint, "the OTLP collector takes spans again");
                }
                refused.min(all)
            }
            Err(status) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    let (code, message) = (status.code(), status.message());
                    tracing::warn!(collector = %self.endpoint, ?code, message, "the OTLP collector takes no spans");
                }
                all
            }
        };
        metrics::counter!("tandem_otlp_spans_total", "result" => "sent").increment(all - refused);
        metrics::counter!("tandem_otlp_spans_total", "result" => "failed").increment(refused);
    }

    /// Answers how many spans the collector has refused.
    async fn try_send(&mut self, request: ExportTraceServiceRequest) -> Result<u64, Status> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.client.export(request.clone()).await {
                Ok(response) => {
                    let refused = response.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
                    return Ok(u64::try_from(refused).unwrap_or_default());
                }
                Err(status) if status.code() == Code::Unavailable => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => return Err(status),
                },
                Err(status) => return Err(status),
            }
        }
    }
}

#[cfg(test)]
mod tests;
