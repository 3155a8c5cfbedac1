//! A PBX that calls at every node, and a carrier that answers: hosts of the simulation that speak SIP by the agents of
//! `testkit`, one an ongoing call.

use crate::wire::Datagram;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sip::clock::{Instant, Now, Wall};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use switch::transport::net::Datagrams;
use testkit::{Agent, Script};

/// Where they are.
pub(crate) const PBX: &str = "127.0.9.1:5060";
pub(crate) const CARRIER: &str = "127.0.9.20:5080";
/// Channels of the carrier's trunk in the whole cluster.
pub(crate) const CHANNELS: u32 = 12;

/// What is applied to a cluster that has formed.
pub(crate) const TABLES: &str = r#"
[[account]]
name = "acme"
currency = "EUR"

[[trunk]]
name = "pbx"
account = "acme"
[trunk.ingress]
from = ["127.0.9.1/32"]
plan = "out"
caller_policy = "pass"

[[trunk]]
name = "carrier"
account = "acme"
channels = 12
[trunk.egress]
gateways = [ { address = "127.0.9.20:5080", transport = "udp", ping_seconds = 0 } ]
timeout_seconds = 4

[[plan]]
name = "out"
[[plan.route]]
prefix = ""
trunks = ["carrier"]
"#;

/// How long a call is followed that does not end.
const LONGEST: Duration = Duration::from_secs(60);

/// What the PBX is to do, and what came of its calls.
pub(crate) struct Load {
    /// Between two calls, in ms.
    pub(crate) pause_ms: RefCell<Range<u64>>,
    /// How long calls last that are answered, in ms.
    pub(crate) lasts_ms: RefCell<Range<u64>>,
    pub(crate) offered: Cell<u64>,
    pub(crate) answered: Cell<u64>,
    /// Calls by their final code.
    pub(crate) refused: RefCell<BTreeMap<u16, u64>>,
    /// Callers who hung up and were not heard, or not answered: the address that they knew of was a dead node's.
    pub(crate) unheard: RefCell<HashSet<String>>,
    /// What no partner may see.
    pub(crate) faults: RefCell<Vec<String>>,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            pause_ms: RefCell::new(50..400),
            lasts_ms: RefCell::new(500..9000),
            offered: Cell::new(0),
            answered: Cell::new(0),
            refused: RefCell::default(),
            unheard: RefCell::default(),
            faults: RefCell::default(),
        }
    }

    /// No more calls.
    pub(crate) fn rest(&self) {
        self.pause_ms.replace(3_600_000..3_600_001);
    }

    /// More than the trunk carries.
    pub(crate) fn press(&self) {
        self.pause_ms.replace(20..100);
        self.lasts_ms.replace(2000..6000);
    }
}

/// The calls of one partner.
struct Exchange {
    socket: Datagram,
    began: tokio::time::Instant,
    /// By Call-ID, and since when.
    agents: BTreeMap<String, (Agent, Instant)>,
    /// Whose end has been counted.
    counted: HashSet<String>,
}

impl Exchange {
    fn new(at: &str) -> turmoil::Result<Self> {
        let socket = Datagram::bind(at.parse()?)?;
        let (agents, counted) = Default::default();
        Ok(Self { socket, began: tokio::time::Instant::now(), agents, counted })
    }

    fn now(&self) -> Now {
        let elapsed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX / 2);
        Now { mono: Instant::from_micros(1_000_000 + elapsed), wall: Wall(1_790_000_000_000 + elapsed / 1000) }
    }

    /// Waits for a message or for something that is due, at most until then.
    async fn wait(&self, until: tokio::time::Instant) {
        let now = self.now().mono;
        let due = self.agents.values().filter_map(|(agent, _)| agent.poll_timeout()).min();
        let due = due.map_or(until, |due| (tokio::time::Instant::now() + due.since(now)).min(until));
        let readable = std::future::poll_fn(|cx| self.socket.poll_readable(cx));
        let _ = tokio::time::timeout_at(due, readable).await;
    }

    /// Takes what has come and does what is due.
    fn work(&mut self, stranger: impl Fn(SocketAddr) -> Option<Agent>) {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = self.socket.try_receive(&mut buffer) {
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            let Some(call) = call_id(&bytes) else { continue };
            let now = self.now();
            if !self.agents.contains_key(&call) && bytes.starts_with(b"INVITE ") {
                let Some(agent) = stranger(from) else { continue };
                self.agents.insert(call.clone(), (agent, now.mono));
            }
            if let Some((agent, _)) = self.agents.get_mut(&call) {
                agent.receive(now, from, bytes);
            }
            self.flush();
        }
        let now = self.now();
        for (agent, _) in self.agents.values_mut() {
            if agent.poll_timeout().is_some_and(|due| due <= now.mono) {
                agent.handle_timeout(now);
            }
        }
        self.flush();
        self.agents.retain(|_, (_, since)| now.mono.since(*since) < LONGEST);
    }

    fn flush(&mut self) {
        for (agent, _) in self.agents.values_mut() {
            for (peer, bytes) in agent.drain() {
                // A lost message is sent again by its transaction.
                let _ = self.socket.try_send(&bytes, peer);
            }
        }
    }
}

fn call_id(bytes: &Bytes) -> Option<String> {
    let message = sip::Message::parse(bytes.clone()).ok()?;
    message.get(sip::Name::CallId).map(str::to_owned)
}

/// Answers every call.
pub(crate) async fn carrier() -> turmoil::Result {
    let mut exchange = Exchange::new(CARRIER)?;
    let at: SocketAddr = CARRIER.parse()?;
    loop {
        exchange.wait(tokio::time::Instant::now() + Duration::from_secs(1)).await;
        exchange.work(|from| Some(Agent::new(at, from, Script { forgets: true, ..Script::default() })));
    }
}

/// Calls at nodes drawn from a seed.
pub(crate) async fn pbx(nodes: Vec<SocketAddr>, seed: u64, load: Rc<Load>) -> turmoil::Result {
    let mut exchange = Exchange::new(PBX)?;
    let at: SocketAddr = PBX.parse()?;
    let mut chance = StdRng::seed_from_u64(seed ^ 0xca11);
    let mut next = tokio::time::Instant::now();
    loop {
        exchange.wait(next).await;
        exchange.work(|_| None);
        count(&mut exchange, &load);
        if tokio::time::Instant::now() >= next {
            next = tokio::time::Instant::now()
                + Duration::from_millis(chance.random_range(load.pause_ms.borrow().clone()));
            let lasts = chance.random_range(load.lasts_ms.borrow().clone());
            let node = *nodes.choose(&mut chance).expect("nodes");
            load.offered.set(load.offered.get() + 1);
            let mut agent = Agent::new(at, node, Script { forgets: true, ..Script::hanging_up(lasts) });
            agent.name = load.offered.get().to_string();
            let now = exchange.now();
            agent.call(now, "442071230000");
            exchange.agents.insert(format!("call-of-{}", agent.name), (agent, now.mono));
            exchange.flush();
        }
    }
}

/// Counts calls that were answered or refused since.
fn count(exchange: &mut Exchange, load: &Load) {
    for (call, (agent, _)) in &exchange.agents {
        // Invariant 1, as far as a caller sees it: the codes of final responses that are no retransmissions.
        if agent.seen.setup_finals > 1 {
            load.faults.borrow_mut().push(format!("{call} got {:?} for one INVITE", agent.seen.finals));
        }
        if agent.seen.ended && agent.seen.timeouts > 0 {
            load.unheard.borrow_mut().insert(call.clone());
        }
        let Some(code) = agent.seen.finals.first() else { continue };
        if !exchange.counted.insert(call.clone()) {
            continue;
        }
        if *code < 300 {
            load.answered.set(load.answered.get() + 1);
        } else {
            *load.refused.borrow_mut().entry(*code).or_default() += 1;
        }
    }
}
