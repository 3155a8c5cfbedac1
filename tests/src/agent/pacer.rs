//! Calls at a steady pace, each hung up as soon as it is answered: how long does an INVITE wait for its first answer?
//!
//! The schedule does not wait for anybody, so that a node that stands still is seen by every call of that time.

use super::legs::Leg;
use super::message::{Message, request};
use crate::Lab;
use crate::process::{report, sleep_until};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many calls are named that waited longest.
const SLOWEST: usize = 24;
/// Calls for which there is room from the start: to make more takes milliseconds, in which no answer is heard.
const CALLS: usize = 20_000;
/// How soon a thread sees that it should end.
const LOOK: Duration = Duration::from_millis(50);

/// Places calls until it is dropped.
pub struct Pacer {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

/// How long INVITEs waited for their first answer, whatever it was.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// In ascending order; one that had none yet counts with its age.
    pub waits: Vec<Duration>,
    /// How many had no answer yet.
    pub open: usize,
    /// How many got which final answer.
    pub codes: BTreeMap<u16, usize>,
    /// How late one was placed at most, by a thread that goes before all others: how long the machine gave it no processor.
    pub late: Duration,
    /// When each was placed, where, and how long it waited; the longest first.
    pub slowest: Vec<(Instant, SocketAddr, Duration)>,
}

impl Waits {
    /// What this share of them (0 to 1) did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get((last as f64 * share).ceil() as usize).copied().unwrap_or_default()
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|share| self.quantile(share));
        write!(f, "{} times, p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, longest {most:?}", self.waits.len())?;
        if self.late > Duration::ZERO { write!(f, ", placed late by {:?} at most", self.late) } else { Ok(()) }
    }
}

impl Pacer {
    /// One call every `every` from this host and port, at each node in turn.
    pub fn start(lab: &Lab, from: (u8, u16), nodes: &[String], called: &str, every: Duration) -> Self {
        let socket = UdpSocket::bind((lab.host(from.0), from.1)).expect("the lab's addresses are free");
        socket.set_read_timeout(Some(LOOK)).expect("a time-out can be set");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (ended, calls) = (AtomicBool::new(false), Mutex::new(HashMap::with_capacity(CALLS)));
        let line = Arc::new(Line { socket, address, ended, calls });
        let nodes: Vec<SocketAddr> = nodes.iter().map(|node| node.parse().expect("an address")).collect();
        let (places, hears, called) = (Arc::clone(&line), Arc::clone(&line), called.to_owned());
        let threads = vec![
            std::thread::spawn(move || {
                go_first();
                places.place(&nodes, &called, every);
            }),
            std::thread::spawn(move || {
                go_first();
                hears.hear();
            }),
        ];
        Self { line, threads }
    }

    /// The calls that were placed between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Waits {
        let calls = self.line.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waits = Waits::default();
        for call in calls.values().filter(|call| call.sent >= from && call.sent < to) {
            let waited = call.waited.unwrap_or_else(|| call.sent.elapsed());
            waits.waits.push(waited);
            waits.slowest.push((call.sent, call.leg.through, waited));
            waits.open += usize::from(call.waited.is_none());
            waits.late = waits.late.max(call.late);
            if let Some(code) = call.code {
                *waits.codes.entry(code).or_default() += 1;
            }
        }
        waits.waits.sort_unstable();
        waits.slowest.sort_unstable_by_key(|(_, _, waited)| std::cmp::Reverse(*waited));
        waits.slowest.truncate(SLOWEST);
        waits
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.line.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Puts this thread before all that are not of the system itself: callers have machines of their own, and what their threads wait
/// for on this one says nothing of the nodes.
fn go_first() {
    let thread = std::fs::read_link("/proc/thread-self").expect("proc is there");
    let id = thread.file_name().expect("it ends with the thread's id");
    let changed = Command::new("chrt").args(["--fifo", "--pid", "1"]).arg(id).output();
    match changed {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            report(&format!("a caller's thread waits as any other: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => report(&format!("a caller's thread waits as any other: chrt: {error}")),
    }
}

struct Line {
    socket: UdpSocket,
    address: SocketAddr,
    ended: AtomicBool,
    calls: Mutex<HashMap<String, Call>>,
}

struct Call {
    leg: Leg,
    sent: Instant,
    /// After the moment that the schedule has.
    late: Duration,
    /// From the INVITE to the first answer.
    waited: Option<Duration>,
    /// Of the final answer.
    code: Option<u16>,
}

impl Line {
    fn place(&self, nodes: &[SocketAddr], called: &str, every: Duration) {
        let (began, own) = (Instant::now(), self.address);
        for (number, node) in (0..).zip(nodes.iter().cycle()) {
            let due = began + every * number;
            sleep_until(due);
            let late = due.elapsed();
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let id = format!("paced-{number}-{own}");
            let leg = Leg {
                local: format!("<sip:+442071230000@{own}>;tag=paced-{number}"),
                remote: format!("<sip:{called}@{node}>"),
                target: format!("sip:{called}@{node}"),
                through: *node,
                branch: format!("z9hG4bKpaced-{number}"),
                ..Leg::default()
            };
            let invite = request("INVITE", &leg, &id, own, &super::sdp(own.ip()));
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = Instant::now();
            calls.insert(id, Call { leg, sent, late, waited: None, code: None });
            // One that is not sent is one that is not answered.
            let _ = self.socket.send_to(invite.as_bytes(), node);
        }
    }

    fn hear(&self) {
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            let at = Instant::now();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(message) = Message::of(&text) {
                self.heard(&message, at);
            }
        }
    }

    fn heard(&self, message: &Message<'_>, at: Instant) {
        let (Some(code), id) = (message.code, message.header("Call-ID")) else { return };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(call), Some((1, "INVITE"))) = (calls.get_mut(id), message.cseq()) else { return };
        call.waited.get_or_insert(at - call.sent);
        if code < 200 {
            return;
        }
        call.code = Some(code);
        let remote = message.header("To").to_owned();
        let ack = Leg { remote: remote.clone(), cseq: 1, ..call.leg.for_ack() };
        let send = |text: String| drop(self.socket.send_to(text.as_bytes(), call.leg.through));
        if code >= 300 {
            return send(request("ACK", &Leg { branch: call.leg.branch.clone(), ..ack }, id, self.address, ""));
        }
        let target = message.contact().to_owned();
        let within = |what: &str, cseq| Leg {
            branch: format!("{}-{what}", call.leg.branch),
            target: target.clone(),
            local: call.leg.local.clone(),
            remote: remote.clone(),
            cseq,
            ..call.leg.for_ack()
        };
        send(request("ACK", &within("ack", 1), id, self.address, ""));
        send(request("BYE", &within("bye", 2), id, self.address, ""));
    }
}
