//! A collector of traces: OTLP over gRPC, as any backend of OpenTelemetry takes it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A collector that listens until it is dropped.
pub struct Tracer {
    address: SocketAddr,
    service: Service,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One span, as it came.
#[derive(Clone, Debug)]
pub struct Span {
    /// In hexadecimal.
    pub trace: String,
    /// In hexadecimal.
    pub id: String,
    /// In hexadecimal; empty for a root.
    pub parent: String,
    /// What kind of phase it is.
    pub name: String,
    /// The node that has sent it.
    pub node: String,
    /// The site of that.
    pub site: String,
    /// In nanoseconds since 1970.
    pub began: u64,
    /// In nanoseconds since 1970.
    pub ended: u64,
    /// It did not go well.
    pub is_error: bool,
    /// All as text.
    pub attributes: BTreeMap<String, String>,
    /// Names, and attributes as text.
    pub events: Vec<(String, BTreeMap<String, String>)>,
}

impl Span {
    /// One attribute; empty if it is not there.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Whether something of that name happened in it, with that attribute.
    pub fn tells(&self, name: &str, key: &str, value: &str) -> bool {
        self.events.iter().any(|(event, attributes)| event == name && attributes.get(key).is_some_and(|is| is == value))
    }
}

/// What it has taken, and whether it answers.
#[derive(Clone, Default)]
struct Service {
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    is_silent: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.is_silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.requests.lock().expect("nobody panics with it").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Tracer {
    /// Listens on a free port of `host`.
    pub fn start(host: IpAddr) -> Self {
        Self::start_at((host, 0).into())
    }

    /// Listens there.
    pub fn start_at(at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).expect("the lab's addresses are free");
        listener.set_nonblocking(true).expect("a socket can be set so");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (service, (end, ended)) = (Service::default(), oneshot::channel::<()>());
        let served = TraceServiceServer::new(service.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
                let serving = Server::builder().add_service(served).serve_with_incoming(TcpIncoming::from(listener));
                tokio::select! {
                    ended = serving => ended.expect("it serves"),
                    _ = ended => {}
                }
            });
        });
        Self { address, service, end: Some(end), thread: Some(thread) }
    }

    /// The section of `node.toml` that names it.
    pub fn section(&self, percent: u8) -> String {
        section(self.address, percent)
    }

    /// From now on it takes requests and answers none; or it does again.
    pub fn set_silent(&self, is_silent: bool) {
        self.service.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Everything that has come, as it was on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let requests = self.service.requests.lock().expect("nobody panics with it");
        requests.iter().flat_map(|request| request.encode_to_vec()).collect()
    }

    /// Every span that has come.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.service.requests.lock().expect("nobody panics with it");
        let of_nodes = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = of_nodes.flat_map(|of_node| {
            let resource = of_node.resource.as_ref().map(|resource| texts(&resource.attributes)).unwrap_or_default();
            assert_eq!(resource.get("service.name").map(String::as_str), Some("tandem"));
            let sent = of_node.scope_spans.iter().flat_map(|scope| &scope.spans);
            sent.map(move |sent| span(sent, &resource)).collect::<Vec<_>>()
        });
        spans.collect()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The section of `node.toml` that names a collector there.
pub fn section(address: SocketAddr, percent: u8) -> String {
    format!("[otlp]\nendpoint = \"http://{address}\"\npercent = {percent}\n")
}

fn span(sent: &Sent, resource: &BTreeMap<String, String>) -> Span {
    let of_resource = |key: &str| resource.get(key).cloned().unwrap_or_default();
    let events = sent.events.iter().map(|event| (event.name.clone(), texts(&event.attributes)));
    Span {
        trace: hexadecimal(&sent.trace_id),
        id: hexadecimal(&sent.span_id),
        parent: hexadecimal(&sent.parent_span_id),
        name: sent.name.clone(),
        node: of_resource("tandem.node"),
        site: of_resource("tandem.site"),
        began: sent.start_time_unix_nano,
        ended: sent.end_time_unix_nano,
        is_error: sent.status.as_ref().is_some_and(|status| status.code == 2),
        attributes: texts(&sent.attributes),
        events: events.collect(),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("{}: {other:?}", attribute.key),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
