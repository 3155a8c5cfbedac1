//! What a user agent knows of its calls, and waiting for what becomes of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// Its INVITE has no final answer, or it is no call.
    #[default]
    Offered,
    /// It is up.
    Answered,
    /// Its INVITE was refused with this code.
    Refused(u16),
    /// It was up.
    Ended,
}

/// One call, as this side has it.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// Our From, and the other side's To.
    pub local: String,
    /// The other side's.
    pub remote: String,
    /// The request URI.
    pub target: String,
    /// Which node it came by.
    pub through: SocketAddr,
    /// Of the last request.
    pub branch: String,
    /// Of the last request.
    pub cseq: u32,
    /// Further header lines of its requests.
    pub more: String,
    /// How far it is.
    pub state: State,
    /// Final responses by CSeq: the code, when it came, the text.
    pub replies: HashMap<u32, (u16, Instant, String)>,
}

impl Default for Leg {
    fn default() -> Self {
        Self {
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            through: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            branch: String::new(),
            cseq: 1,
            more: String::new(),
            state: State::Offered,
            replies: HashMap::new(),
        }
    }
}

impl Leg {
    /// What an ACK needs of it.
    pub(super) fn for_ack(&self) -> Self {
        Self { local: self.local.clone(), target: self.target.clone(), through: self.through, ..Self::default() }
    }
}

/// All calls of one agent.
#[derive(Default)]
pub(super) struct Legs {
    all: Mutex<(HashMap<String, Leg>, usize)>,
    changed: Condvar,
}

impl Legs {
    fn lock(&self) -> MutexGuard<'_, (HashMap<String, Leg>, usize)> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, mut all: MutexGuard<'_, (HashMap<String, Leg>, usize)>) {
        all.1 = all.1.max(up(&all.0).count());
        drop(all);
        self.changed.notify_all();
    }

    /// A new call.
    pub(super) fn put(&self, id: &str, leg: Leg) {
        let mut all = self.lock();
        all.0.insert(id.to_owned(), leg);
        self.look(all);
    }

    /// Works on a call, if there is one.
    pub(super) fn with<R>(&self, id: &str, work: impl FnOnce(&mut Leg) -> R) -> Option<R> {
        let mut all = self.lock();
        let result = all.0.get_mut(id).map(work);
        self.look(all);
        result
    }

    /// Those that are up, with the node that they came by.
    pub(super) fn up(&self) -> Vec<(String, SocketAddr)> {
        up(&self.lock().0).map(|(id, leg)| (id.clone(), leg.through)).collect()
    }

    /// The most that were up at once since this was asked.
    pub(super) fn most(&self) -> usize {
        let mut all = self.lock();
        let now = up(&all.0).count();
        std::mem::replace(&mut all.1, now)
    }

    /// Waits until something holds of all; whether it does.
    pub(super) fn wait(&self, limit: Duration, holds: impl Fn(&HashMap<String, Leg>) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |all| !holds(&all.0));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The final response to a request.
    pub(super) fn reply(&self, id: &str, cseq: u32, limit: Duration) -> Option<(u16, Instant, String)> {
        self.wait(limit, |legs| legs.get(id).is_some_and(|leg| leg.replies.contains_key(&cseq)));
        self.with(id, |leg| leg.replies.remove(&cseq)).flatten()
    }

    pub(super) fn clear(&self) {
        let mut all = self.lock();
        all.0.clear();
        self.look(all);
    }
}

fn up(legs: &HashMap<String, Leg>) -> impl Iterator<Item = (&String, &Leg)> {
    legs.iter().filter(|(_, leg)| leg.state == State::Answered)
}
