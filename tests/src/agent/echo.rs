//! What the machine makes anybody wait: a datagram to a thread that does nothing but send it back.
//!
//! Beside the waits of calls it tells a node that stands still from a machine that has too much to do.

use super::pacer::Waits;
use crate::Lab;
use crate::process::sleep_until;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How soon a thread sees that it should end.
const LOOK: Duration = Duration::from_millis(200);

/// Sends and waits, until it is dropped.
pub struct Echo {
    trips: Arc<Mutex<Vec<(Instant, Duration)>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// One datagram every `every`, between two ports of a host.
    pub fn start(lab: &Lab, host: u8, every: Duration) -> Self {
        let [asks, answers] = [7_001, 7_002].map(|port| {
            let socket = UdpSocket::bind((lab.host(host), port)).expect("the lab's addresses are free");
            socket.set_read_timeout(Some(LOOK)).expect("a time-out can be set");
            socket
        });
        let (trips, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, over, over_too) = (Arc::clone(&trips), Arc::clone(&ended), Arc::clone(&ended));
        let to = answers.local_addr().expect("a bound socket has an address");
        let asking = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let answered = asks.send_to(b"x", to).is_ok() && asks.recv_from(&mut [0; 8]).is_ok();
                let trip = (sent, sent.elapsed());
                if answered {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(trip);
                }
                sleep_until(sent + every);
            }
        });
        let answering = std::thread::spawn(move || {
            while !over_too.load(Ordering::Relaxed) {
                if let Ok((_, from)) = answers.recv_from(&mut [0; 8]) {
                    // One that is lost is asked for again.
                    let _ = answers.send_to(b"x", from);
                }
            }
        });
        Self { trips, ended, threads: vec![asking, answering] }
    }

    /// The datagrams that were sent between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Waits {
        let trips = self.trips.lock().unwrap_or_else(PoisonError::into_inner);
        let within = trips.iter().filter(|(sent, _)| *sent >= from && *sent < to);
        let mut waits: Vec<Duration> = within.map(|(_, trip)| *trip).collect();
        waits.sort_unstable();
        Waits { waits, ..Waits::default() }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
