//! A user agent with many calls on one socket: it places calls at any node, answers all that come, and speaks within a
//! dialog through whichever node a test names.
//!
//! It is quick rather than complete: it answers at once, sends nothing twice, and no audio flows. What it reads and writes
//! shares no line with the switch.

mod digest;
mod echo;
mod legs;
mod message;
mod pacer;

pub use echo::Echo;
pub use pacer::{Pacer, Waits};

use crate::Lab;
use legs::{Leg, Legs, State};
use message::{Message, request, response};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a request other than an INVITE may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How soon a call is hung up once more.
const AGAIN: Duration = Duration::from_millis(500);
/// How soon the thread sees that it should end.
const LOOK: Duration = Duration::from_millis(50);

/// A user agent. It falls silent when it is dropped.
pub struct Agent {
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
}

/// What became of calls that were offered together.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// Call-IDs of those that were answered.
    pub answered: Vec<String>,
    /// How many got which refusal.
    pub refused: BTreeMap<u16, usize>,
    /// How many got no final answer.
    pub open: usize,
}

impl Agent {
    /// Listens at host number `host`.
    pub fn bind(lab: &Lab, host: u8, port: u16) -> Self {
        let socket = UdpSocket::bind((lab.host(host), port)).expect("the lab's addresses are free");
        socket.set_read_timeout(Some(LOOK)).expect("a time-out can be set");
        let address = socket.local_addr().expect("a bound socket has an address");
        let line = Arc::new(Line {
            socket,
            address,
            legs: Legs::default(),
            counter: AtomicU32::new(1),
            ended: AtomicBool::new(false),
        });
        let heard = Arc::clone(&line);
        let thread = std::thread::spawn(move || heard.listen());
        Self { line, thread: Some(thread) }
    }

    /// Sends an INVITE to a node; its Call-ID.
    pub fn call(&self, node: &str, called: &str) -> String {
        let line = &self.line;
        let id = line.name("call");
        let node: SocketAddr = node.parse().expect("an address");
        let leg = Leg {
            local: format!("<sip:+442071230000@{}>;tag={}", line.address, line.name("tag")),
            remote: format!("<sip:{called}@{node}>"),
            target: format!("sip:{called}@{node}"),
            through: node,
            branch: line.name("z9hG4bK"),
            ..Leg::default()
        };
        let invite = request("INVITE", &leg, &id, line.address, &line.sdp());
        line.legs.put(&id, leg);
        line.send(&invite, node);
        id
    }

    /// Waits until each of these calls has its final answer, at most for `limit`.
    pub fn settle(&self, calls: Vec<String>, limit: Duration) -> Offered {
        let legs = &self.line.legs;
        legs.wait(limit, |legs| calls.iter().all(|id| legs.get(id).is_none_or(|leg| leg.state != State::Offered)));
        let mut offered = Offered::default();
        for id in calls {
            match legs.with(&id, |leg| leg.state) {
                Some(State::Refused(code)) => *offered.refused.entry(code).or_default() += 1,
                Some(State::Answered | State::Ended) => offered.answered.push(id),
                Some(State::Offered) | None => offered.open += 1,
            }
        }
        offered
    }

    /// Places one call and waits for its final answer: the Call-ID, or the code of the refusal, 0 for none.
    ///
    /// # Errors
    /// The call was not answered.
    pub fn dial(&self, node: &str, called: &str, limit: Duration) -> Result<String, u16> {
        let mut offered = self.settle(vec![self.call(node, called)], limit);
        let refusal = offered.refused.keys().next().copied().unwrap_or(0);
        offered.answered.pop().ok_or(refusal)
    }

    /// Sends BYE for a call to a node; does not wait.
    pub fn hang_up(&self, call: &str, node: &str) {
        self.line.within(call, "BYE", node.parse().expect("an address"));
    }

    /// Hangs up every call that is up, each through the node that it came by last, and again while its BYE is not answered: that
    /// node may die meanwhile. Whether all have ended within `limit`.
    pub fn hang_up_all(&self, limit: Duration) -> bool {
        let (legs, deadline) = (&self.line.legs, Instant::now() + limit);
        loop {
            for (call, node) in legs.up() {
                self.line.within(&call, "BYE", node);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if legs.wait(left.min(AGAIN), |legs| legs.values().all(|leg| leg.state != State::Answered)) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// Sends a request within a call through a node; the code of its final answer and how long that took.
    pub fn ask(&self, call: &str, method: &str, node: &str) -> Option<(u16, Duration)> {
        let (began, cseq) = (Instant::now(), self.line.within(call, method, node.parse().expect("an address")));
        let (code, at, _) = self.line.legs.reply(call, cseq, PATIENCE)?;
        Some((code, at.duration_since(began)))
    }

    /// Registers a line of the tables at a node, with this agent as its contact; the code of the final answer, 0 for none.
    pub fn register(&self, node: &str, user: &str, password: &str) -> u16 {
        let line = &self.line;
        let (id, node) = (line.name("register"), node.parse().expect("an address"));
        let address = format!("<sip:{user}@{node}>");
        let leg = Leg {
            local: format!("{address};tag={}", line.name("tag")),
            remote: address,
            target: format!("sip:{node}"),
            through: node,
            more: "Expires: 600\r\n".to_owned(),
            ..Leg::default()
        };
        line.legs.put(&id, leg);
        let mut code = 0;
        // A challenge, and a second one for a nonce that ran out.
        for _ in 0..3 {
            let cseq = line.within(&id, "REGISTER", node);
            let Some((answered, _, text)) = line.legs.reply(&id, cseq, PATIENCE) else { return 0 };
            code = answered;
            let Some(challenge) = (code == 401).then(|| Message::of(&text).and_then(|told| told.challenge())).flatten()
            else {
                break;
            };
            let credentials = digest::answer(challenge, user, password, "REGISTER", &format!("sip:{node}"));
            line.legs.with(&id, |leg| leg.more = format!("Expires: 600\r\nAuthorization: {credentials}\r\n"));
        }
        code
    }

    /// Calls that are up here now.
    pub fn talking(&self) -> usize {
        self.line.legs.up().len()
    }

    /// The most calls that were up here at once since this was last asked.
    pub fn most(&self) -> usize {
        self.line.legs.most()
    }

    /// Whether so many calls are up here within `limit`.
    pub fn talks(&self, calls: usize, limit: Duration) -> bool {
        self.line.legs.wait(limit, |legs| legs.values().filter(|leg| leg.state == State::Answered).count() == calls)
    }

    /// Forgets all calls, those as well whose node has died.
    pub fn forget(&self) {
        self.line.legs.clear();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.line.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The socket and what is known of its calls.
struct Line {
    socket: UdpSocket,
    address: SocketAddr,
    legs: Legs,
    counter: AtomicU32,
    ended: AtomicBool,
}

impl Line {
    /// A name that no other agent or call has.
    fn name(&self, what: &str) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("{what}-{ip}-{port}-{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    fn send(&self, text: &str, to: SocketAddr) {
        // A node that is gone takes nothing; the test sees that there is no answer.
        let _ = self.socket.send_to(text.as_bytes(), to);
    }

    fn sdp(&self) -> String {
        sdp(self.address.ip())
    }

    /// Sends a request within a call; its CSeq.
    fn within(&self, call: &str, method: &str, node: SocketAddr) -> u32 {
        let branch = self.name("z9hG4bK");
        let body = if method == "INVITE" { self.sdp() } else { String::new() };
        let sent = self.legs.with(call, |leg| {
            leg.cseq += 1;
            leg.branch = branch;
            (leg.cseq, request(method, leg, call, self.address, &body))
        });
        let (cseq, text) = sent.unwrap_or_else(|| panic!("no call {call}"));
        self.send(&text, node);
        cseq
    }

    fn listen(&self) {
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let at = Instant::now();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            match Message::of(&text) {
                Some(message) if message.code.is_some() => self.answered(&message, at),
                Some(message) => self.asked(&message, from),
                None => {}
            }
        }
    }

    /// A request.
    fn asked(&self, message: &Message<'_>, from: SocketAddr) {
        let (id, body) =
            (message.header("Call-ID"), if message.method == "INVITE" { self.sdp() } else { String::new() });
        let code = match message.method {
            "ACK" => return,
            "INVITE" if message.header("To").contains(";tag=") => {
                // Another node may have the call now.
                let moved = self.legs.with(id, |leg| {
                    leg.target = message.contact().to_owned();
                    leg.through = from;
                });
                moved.map_or(481, |()| 200)
            }
            "INVITE" => {
                let is_known = self.legs.with(id, |_| ()).is_some();
                if !is_known {
                    let local = format!("{};tag={}", message.header("To"), self.name("tag"));
                    let remote = message.header("From").to_owned();
                    let target = message.contact().to_owned();
                    let leg = Leg { local, remote, target, through: from, state: State::Answered, ..Leg::default() };
                    self.legs.put(id, leg);
                }
                200
            }
            "BYE" => self.legs.with(id, |leg| leg.state = State::Ended).map_or(481, |()| 200),
            _ => 200,
        };
        let local = self.legs.with(id, |leg| leg.local.clone()).unwrap_or_else(|| message.header("To").to_owned());
        self.send(&response(message, code, &local, self.address, &body), from);
    }

    /// A response.
    fn answered(&self, message: &Message<'_>, at: Instant) {
        let (id, code) = (message.header("Call-ID"), message.code.unwrap_or(0));
        let Some((cseq, method)) = message.cseq() else { return };
        if code < 200 {
            return;
        }
        let ack = self.legs.with(id, |leg| {
            if method == "BYE" && code < 300 {
                leg.state = State::Ended;
            }
            if method == "INVITE" && code < 300 {
                message.header("To").clone_into(&mut leg.remote);
                message.contact().clone_into(&mut leg.target);
            }
            leg.replies.insert(cseq, (code, at, message.text.to_owned()));
            let first = method == "INVITE" && leg.state == State::Offered;
            if first {
                leg.state = if code < 300 { State::Answered } else { State::Refused(code) };
            }
            (method == "INVITE").then(|| {
                // An ACK of a refusal belongs to the INVITE's transaction, one of a 2xx is its own (RFC 3261 §17.1.1.3).
                let branch = if code < 300 { self.name("z9hG4bK") } else { leg.branch.clone() };
                let acked = Leg { branch, cseq, remote: message.header("To").to_owned(), ..leg.for_ack() };
                (request("ACK", &acked, id, self.address, ""), leg.through)
            })
        });
        if let Some(Some((ack, to))) = ack {
            self.send(&ack, to);
        }
    }
}

/// Names a port for audio that nobody listens on.
fn sdp(ip: IpAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n\
         a=rtpmap:8 PCMA/8000\r\n"
    )
}
