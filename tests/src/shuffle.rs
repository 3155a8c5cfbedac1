//! A network that loses, doubles and reorders datagrams between two user agents, by a seed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Lab;

/// The longest that a datagram is held back; well above the time between two messages of a call on loopback.
const LONGEST: Duration = Duration::from_millis(120);

/// How bad the network is, in parts of a hundred.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Datagrams that vanish.
    pub lost: u32,
    /// Datagrams that arrive twice.
    pub doubled: u32,
    /// Datagrams that are held back, so that later ones overtake them; only on the way that `late_to_target` names,
    /// for SIPp takes a message out of order for a fault.
    pub late: u32,
    /// Whether the late ones are those to the target, or those back from it.
    pub late_to_target: bool,
}

impl Weather {
    /// Nothing is lost, doubled or late.
    pub const FAIR: Self = Self { lost: 0, doubled: 0, late: 0, late_to_target: true };
}

/// A relay of datagrams: what one side sends to `front` reaches the other as from `back`, and the other way round.
///
/// It is transparent to SIP because each side is told its address as that of the peer, and `Via` with `rport` brings
/// the answers back.
pub struct Shuffle {
    stop: Arc<AtomicBool>,
    moved: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

struct Held {
    due: Instant,
    out_of_front: bool,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Network {
    front: UdpSocket,
    back: UdpSocket,
    target: SocketAddr,
    client: Option<SocketAddr>,
    weather: Weather,
    state: u64,
    held: Vec<Held>,
    md5_only: bool,
}

impl Shuffle {
    /// Puts a network between whoever sends to host `host`, port `port`, and `target`.
    pub fn start(lab: &Lab, host: u8, port: u16, target: SocketAddr, weather: Weather, seed: u64) -> Self {
        Self::with(lab, host, port, target, weather, seed, false)
    }

    /// A fair network that takes the SHA-256 challenges out of what comes back from `target`: SIPp 3.6 reads only the
    /// first challenge of a response and knows MD5 alone, where RFC 8760 has it look for one that it knows.
    pub fn md5_only(lab: &Lab, host: u8, port: u16, target: SocketAddr) -> Self {
        Self::with(lab, host, port, target, Weather::FAIR, 1, true)
    }

    fn with(lab: &Lab, host: u8, port: u16, target: SocketAddr, weather: Weather, seed: u64, md5_only: bool) -> Self {
        let front = UdpSocket::bind((lab.host(host), port)).expect("the lab's addresses are free");
        let back = UdpSocket::bind((lab.host(host), port + 1)).expect("the lab's addresses are free");
        for socket in [&front, &back] {
            socket.set_nonblocking(true).expect("a socket can be made not to block");
        }
        let mut network =
            Network { front, back, target, client: None, weather, state: seed | 1, held: Vec::new(), md5_only };
        let stop = Arc::new(AtomicBool::new(false));
        let moved = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (stop.clone(), moved.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                count.fetch_add(network.turn(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, moved, thread: Some(thread) }
    }

    /// How many datagrams came in so far.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

impl Drop for Shuffle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Network {
    /// Takes what has come and sends what is due; returns how many datagrams came.
    fn turn(&mut self) -> u64 {
        let mut buffer = [0; 65_536];
        let mut count = 0;
        while let Ok((length, from)) = self.front.recv_from(&mut buffer) {
            self.client = Some(from);
            self.take(false, self.target, &buffer[..length]);
            count += 1;
        }
        while let Ok((length, _)) = self.back.recv_from(&mut buffer) {
            if let Some(client) = self.client {
                self.take(true, client, &buffer[..length]);
            }
            count += 1;
        }
        self.release(Instant::now());
        count
    }

    fn take(&mut self, out_of_front: bool, to: SocketAddr, bytes: &[u8]) {
        if self.chance(self.weather.lost) {
            return;
        }
        let bytes = if self.md5_only && out_of_front { &without_sha256(bytes) } else { bytes };
        let may_be_late = self.weather.late_to_target != out_of_front;
        let copies = if self.chance(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let wait = if may_be_late && self.chance(self.weather.late) {
                LONGEST / 4 * (1 + self.draw() % 4)
            } else {
                Duration::ZERO
            };
            self.held.push(Held { due: Instant::now() + wait, out_of_front, to, bytes: bytes.to_vec() });
        }
    }

    fn release(&mut self, now: Instant) {
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|held| held.due <= now);
        self.held = held;
        let due: Vec<Held> = due;
        for datagram in due {
            let socket = if datagram.out_of_front { &self.front } else { &self.back };
            let _ = socket.send_to(&datagram.bytes, datagram.to);
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.draw() % 100 < percent
    }

    /// Xorshift: the same seed, the same weather.
    fn draw(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        u32::try_from(self.state >> 33).expect("31 bits")
    }
}

/// A message without the lines that offer SHA-256.
fn without_sha256(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split_inclusive('\n').filter(|line| !line.contains("algorithm=SHA-256"));
    lines.collect::<String>().into_bytes()
}
