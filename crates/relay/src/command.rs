//! What the switch asks of a worker, and the bounded queue on which it waits.

use crate::event::{Events, Tap};
use crate::port_pool::Pair;
use crate::sys::Wakeup;
use crate::{Error, SessionId, Update};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The two sockets of one side of one stream.
pub(crate) struct Endpoint {
    /// RTP, then RTCP: indexed by [`crate::Component`].
    pub(crate) sockets: [UdpSocket; 2],
    /// The pair of ports that goes back to the pool when the sockets are closed.
    pub(crate) pair: Pair,
}

/// The endpoints of every stream, side A then side B.
pub(crate) type Endpoints = SmallVec<[[Endpoint; 2]; 1]>;

/// A session that the worker is to take over.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) endpoints: Endpoints,
    pub(crate) events: Events,
    pub(crate) tap: Option<Tap>,
}

pub(crate) enum Command {
    Open(Box<Opening>),
    Update(SessionId, Box<Update>),
    Watch(SessionId),
    Release(SessionId),
}

/// The queue of one worker. It outlives the worker thread, so that a restarted one goes on where the former stopped.
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Command>>,
    limit: usize,
    refused: AtomicU64,
    stopped: AtomicBool,
    pub(crate) wakeup: Wakeup,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Result<Self, Error> {
        Ok(Self {
            waiting: Mutex::new(VecDeque::new()),
            limit,
            refused: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            wakeup: Wakeup::new()?,
        })
    }

    /// Queues an opening or an update; a release is always taken, since there is at most one a session. A command that
    /// is refused comes back.
    pub(crate) fn push(&self, command: Command) -> Result<(), Command> {
        let mut waiting = self.waiting.lock();
        let may_refuse = !matches!(command, Command::Release(_));
        if may_refuse && waiting.len() >= self.limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(command);
        }
        let was_empty = waiting.is_empty();
        waiting.push_back(command);
        drop(waiting);
        // The worker takes all that waits, so only the first one after that needs to wake it.
        if was_empty {
            self.wakeup.wake();
        }
        Ok(())
    }

    /// Moves all that waits into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut VecDeque<Command>) {
        std::mem::swap(&mut *self.waiting.lock(), into);
    }

    /// Commands refused because the queue was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wakeup.wake();
    }

    /// A thread that starts takes back a stop that was meant for the former one.
    pub(crate) fn resume(&self) {
        self.stopped.store(false, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;

    #[test]
    fn a_full_queue_refuses_updates_but_takes_releases() {
        let (queue, id) = (Queue::new(1).expect("eventfd"), SessionId::new(0, 1));
        let update = || Command::Update(id, Box::new(Update::new(0, Side::A, None)));
        assert!(queue.push(update()).is_ok());
        assert!(matches!(queue.push(update()), Err(Command::Update(..))));
        assert!(queue.push(Command::Release(id)).is_ok());
        assert_eq!(queue.refused(), 1);
        let mut taken = VecDeque::new();
        queue.take(&mut taken);
        assert_eq!(taken.len(), 2);
    }
}
