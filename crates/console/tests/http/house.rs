//! A console that runs, and the shortest way to ask it for things.

use console::{Answer, Import, Listener, Options, Problem, Recorder, Sample, Switchboard, Token, api};
use ractor::{Actor, ActorCell};
use routing::model::Destination;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// One call, one trunk, one registration.
#[derive(Default)]
pub(crate) struct Board {
    pub(crate) ready: AtomicBool,
    pub(crate) hung_up: AtomicBool,
}

pub(crate) const CALL: &str = "1.1.42";

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(async move { Ok(value) })
}

fn call() -> api::Call {
    api::Call { id: CALL.into(), state: "connected".into(), ingress_trunk: "beta".into(), ..api::Call::default() }
}

impl Switchboard for Board {
    fn ready(&self) -> Result<(), String> {
        if self.ready.load(Ordering::Relaxed) { Ok(()) } else { Err("the relay is starting".into()) }
    }

    fn samples(&self) -> Vec<Sample> {
        vec![Sample::new("tandem_node_up", &[("peer", "n2")], 1.0)]
    }

    fn calls(&self, filter: api::CallFilter) -> Answer<'_, api::Calls> {
        assert!(filter.limit.is_some());
        let fits = filter.trunk.is_none_or(|trunk| trunk == "beta");
        answer(api::Calls { calls: if fits { vec![call()] } else { vec![] }, ..api::Calls::default() })
    }

    fn call(&self, asked: api::CallQuery) -> Answer<'_, Option<api::Call>> {
        let message = asked.messages.then(|| "BYE sip:h SIP/2.0".to_owned());
        let ladder = vec![api::Step { message, ..api::Step::default() }];
        answer((asked.id == CALL).then(|| api::Call { ladder, ..call() }))
    }

    fn hangup(&self, id: String) -> Answer<'_, bool> {
        if id == "panics" {
            panic!("as a handler may");
        }
        self.hung_up.store(id == CALL, Ordering::Relaxed);
        answer(id == CALL)
    }

    fn trunks(&self) -> Answer<'_, api::Trunks> {
        let gateways =
            vec![api::Gateway { address: "192.0.2.1:5060".into(), state: "up".into(), ..api::Gateway::default() }];
        let trunks = vec![api::Trunk { name: "alpha".into(), gateways, ..api::Trunk::default() }];
        let missing = vec![api::Missing { node: "n2".into(), site: "s2".into(), why: "down".into() }];
        answer(api::Trunks { trunks, missing })
    }

    fn registrations(&self, _: usize) -> Answer<'_, api::Registrations> {
        let registrations = vec![api::Registration { name: "alice".into(), ..api::Registration::default() }];
        answer(api::Registrations { registrations, ..api::Registrations::default() })
    }

    /// Nobody can say anything of `carol`.
    fn registered(&self, whom: Vec<Destination>) -> Answer<'_, HashMap<Destination, bool>> {
        let known = whom.into_iter().filter(|one| one.to_string() != "user:carol");
        answer(known.map(|one| (one.clone(), one.to_string() == "user:alice")).collect())
    }

    fn nodes(&self) -> Answer<'_, api::Nodes> {
        let nodes = vec![api::Node { name: "n1".into(), ..api::Node::default() }];
        answer(api::Nodes { nodes, ..api::Nodes::default() })
    }

    fn cluster(&self) -> Answer<'_, api::Cluster> {
        let member =
            api::Member { name: "n1".into(), state: "up".into(), shards_owned: 1024, ..api::Member::default() };
        answer(api::Cluster { id: "c".into(), quorum: true, nodes: vec![member], ..api::Cluster::default() })
    }

    fn drain(&self, asked: api::Drain) -> Answer<'_, ()> {
        Box::pin(async move {
            let api::Drain { node, draining } = asked;
            if node == "n1" && draining { Ok(()) } else { Err(Problem::new(404, format!("there is no node `{node}`"))) }
        })
    }

    fn remove(&self, name: String) -> Answer<'_, ()> {
        Box::pin(async move {
            if name == "n2" { Ok(()) } else { Err(Problem::new(404, format!("there is no node `{name}`"))) }
        })
    }

    /// Counts lines; one that says `wrong` is a mistake in the place where it stands.
    fn import(&self, mut import: Import) -> Answer<'_, api::Imported> {
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let (mut rows, mut rest) = (0, Vec::new());
                while let Some(piece) = import.upload.read()? {
                    rest.extend_from_slice(&piece);
                    let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    let lines: Vec<u8> = rest.drain(..whole).collect();
                    for line in lines.split_inclusive(|byte| *byte == b'\n') {
                        rows += 1;
                        if line.starts_with(b"wrong") {
                            return Err(Problem::new(422, "wrong").at(format!("{}:{rows}", import.file)));
                        }
                    }
                }
                import.progress.checking(rows);
                let summary = format!("{:?} by {} replace {}", import.what, import.by.who, import.replace);
                Ok(api::Imported { rows, dry_run: import.dry_run, summary, ..api::Imported::default() })
            });
            read.await.unwrap()
        })
    }

    fn cdrs(&self, filter: api::CdrFilter) -> Answer<'_, Vec<api::Cdr>> {
        let text = |name: &str, value: Option<String>| (name.to_owned(), value.unwrap_or_default());
        answer(vec![api::Cdr::from([text("since", filter.since), text("trunk", filter.trunk)])])
    }
}

/// A running console. It ends with its runtime.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) board: Arc<Board>,
    pub(crate) tables: tables::Handle,
    pub(crate) token: Option<&'static str>,
    service: ActorCell,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

/// The tables end before the test does: RocksDB's threads outlive no static of its library.
impl Drop for House {
    fn drop(&mut self) {
        let ended = self.runtime.block_on(self.service.stop_and_wait(None, Some(Duration::from_secs(20))));
        if !std::thread::panicking() {
            ended.expect("the tables end");
        }
    }
}

pub(crate) fn recorder() -> Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| Recorder::install("n1", "s1").unwrap()).clone()
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(vec![])
    }

    pub(crate) fn with(tokens: Vec<Token>) -> Self {
        let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let board = Arc::new(Board::default());
        // Before the tables are opened: what is set without a recorder is set nowhere.
        let recorder = recorder();
        let (service, tables) =
            tables::Tables::open(&tables::Options::new(dir.path()), Arc::new(tables::Alone)).unwrap();
        let options = Options { listen: "127.0.0.1:0".parse().unwrap(), tokens };
        let (service, console) = runtime.block_on(async {
            let (service, _) = Actor::spawn(None, service, ()).await.unwrap();
            let console = Listener::bind(&options).await.unwrap().console(board.clone(), tables.clone(), recorder);
            (service.get_cell(), console)
        });
        let address = console.address();
        runtime.spawn(console.serve(std::future::pending()));
        Self { address, board, tables, token: None, service, runtime, _dir: dir }
    }

    /// Status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = match body {
            None => agent.run(request.body(()).unwrap()),
            Some(body) => agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
        };
        let mut response = response.unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, None)
    }

    /// The body of a success.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

pub(crate) fn problem(text: &str) -> Problem {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
