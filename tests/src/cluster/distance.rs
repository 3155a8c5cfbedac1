//! A long way between two nodes: what one sends to the other's gRPC arrives later, whole and in order.
//!
//! The kernel sends the connection to a proxy of the test's, which holds every byte back for the time of the way. Nothing
//! is lost and there is no limit of bandwidth; a connection takes its round trip to be set up. What a node hears or says
//! while it is being killed still travels, as it would on a real line.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::sleep_until;

/// What is read at once.
const PIECE: usize = 64 << 10;
/// Pieces on their way in one direction: beyond it the sender waits, as a test that is broken would.
const UNDERWAY: usize = 1 << 14;

/// One direction of a pair. Connections through it end with their ends, no new one comes after it is dropped.
pub(super) struct Distance {
    at: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Distance {
    /// A proxy at a free port of `host`, for connections to `to`.
    pub(super) fn new(host: IpAddr, to: SocketAddr, one_way: Duration) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("the lab's addresses are free");
        let at = listener.local_addr().expect("a bound socket has an address");
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(near) = stream else { continue };
                std::thread::spawn(move || connect(near, to, one_way));
            }
        });
        Self { at, ended, thread: Some(thread) }
    }

    /// Where it listens.
    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it from waiting.
        let woken = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

type Piece = (Instant, Vec<u8>);

/// The near end believes at once that it is connected: its first bytes pay for the round trip of the setup.
fn connect(near: TcpStream, to: SocketAddr, one_way: Duration) {
    let set_up = Instant::now() + one_way * 2;
    let (pieces, arriving) = sync_channel(UNDERWAY);
    let Ok(heard) = near.try_clone() else { return };
    std::thread::spawn(move || take(heard, &pieces, set_up, one_way));
    sleep_until(set_up + one_way);
    let Ok(far) = TcpStream::connect(to) else {
        let _ = near.shutdown(Shutdown::Both);
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let Ok(answers) = far.try_clone() else { return };
    std::thread::spawn(move || give(far, &arriving));
    let (pieces, arriving) = sync_channel(UNDERWAY);
    std::thread::spawn(move || give(near, &arriving));
    take(answers, &pieces, set_up, one_way);
}

/// Reads until the end, and marks each piece with the moment at which it arrives.
fn take(mut from: TcpStream, pieces: &SyncSender<Piece>, set_up: Instant, one_way: Duration) {
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let due = Instant::now().max(set_up) + one_way;
        if pieces.send((due, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    // The end travels as everything else does; who has gone takes nothing any more.
    let _ = pieces.send((Instant::now() + one_way, Vec::new()));
}

/// Writes each piece when it arrives.
fn give(mut to: TcpStream, arriving: &Receiver<Piece>) {
    while let Ok((due, piece)) = arriving.recv() {
        sleep_until(due);
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
