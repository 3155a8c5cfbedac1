//! What the rest of the switch holds of the relay: it reserves ports and passes on what SDP says.

use crate::command::{Command, Endpoint, Endpoints, Opening, Queue};
use crate::counters::{Counters, Gauges};
use crate::event::{Events, Tap};
use crate::port_pool::{Pair, PortPool};
use crate::session::MAX_STREAMS;
use crate::socket::open_pair;
use crate::still::{Pairs, Still};
use crate::sys::reserve_descriptors;
use crate::{Error, Options, SessionId, Update};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many pairs that somebody else has bound are passed over in one allocation.
const BIND_ATTEMPTS: usize = 16;

/// A session with its ports bound.
#[derive(Clone, Debug)]
pub struct Allocation {
    /// Its name in later calls.
    pub id: SessionId,
    /// For each stream the RTP address to put into the SDP sent to side A and to side B; RTCP is on the next port.
    pub local: SmallVec<[[SocketAddr; 2]; 1]>,
}

/// What one worker shares with the rest.
pub(crate) struct ShardState {
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// What was handed to the metrics recorder so far; it outlives the shard's actor.
    pub(crate) published: Mutex<Gauges>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) pool: Mutex<PortPool>,
    pub(crate) shards: Vec<ShardState>,
    sequence: AtomicU64,
    exhausted: AtomicU64,
    /// In place of the shards.
    still: Option<Still>,
}

/// A cheap copy for everyone who needs media.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// The relay without its threads, for [`crate::spawn_shard`] to start them under supervision. What is asked before
    /// that waits.
    ///
    /// # Errors
    ///
    /// [`Error::Options`] when the options make no sense, [`Error::Io`] when the system refuses descriptors.
    pub fn prepare(options: Options) -> Result<Self, Error> {
        options.check()?;
        let shard = |_| {
            let (counters, published) = (Counters::default(), Mutex::new(Gauges::default()));
            Ok(ShardState { queue: Queue::new(options.queue)?, counters, published })
        };
        let workers = if options.still { 0 } else { options.workers };
        let shards = (0..workers).map(shard).collect::<Result<Vec<_>, Error>>()?;
        if let Some(first) = shards.first() {
            reserve_descriptors(options.descriptors(), first.queue.wakeup.fd());
        }
        let pool = Mutex::new(PortPool::new(&options));
        let (sequence, exhausted) = (AtomicU64::new(0), AtomicU64::new(0));
        let still = options.still.then(Still::default);
        Ok(Self { shared: Arc::new(Shared { options, pool, shards, sequence, exhausted, still }) })
    }

    /// Reserves an even RTP port and the odd RTCP port after it (RFC 3550 §11) for each stream and side, bound when
    /// this returns. It makes a dozen system calls and waits for nobody.
    ///
    /// # Errors
    ///
    /// [`Error::PortsExhausted`], [`Error::DescriptorsExhausted`], [`Error::Streams`], [`Error::Busy`] or
    /// [`Error::Io`]; nothing stays reserved then and `events` is never called.
    pub fn allocate(&self, streams: usize, events: Events) -> Result<Allocation, Error> {
        self.allocate_tapped(streams, events, None)
    }

    /// [`Self::allocate`], with a copy of the RTCP of both sides to `tap`. Packets of RTP cost the same with it and without.
    ///
    /// # Errors
    ///
    /// As [`Self::allocate`]; `tap` is never called then.
    pub fn allocate_tapped(&self, streams: usize, events: Events, tap: Option<Tap>) -> Result<Allocation, Error> {
        if streams == 0 || streams > MAX_STREAMS {
            return Err(Error::Streams(streams));
        }
        if let Some(still) = &self.shared.still {
            return self.allocate_still(still, streams, events);
        }
        let mut endpoints = Endpoints::new();
        for _ in 0..streams {
            match self.bind_stream() {
                Ok(sides) => endpoints.push(sides),
                Err(error) => {
                    self.shared.exhausted.fetch_add(1, Ordering::Relaxed);
                    self.shared.give_back(&mut endpoints);
                    return Err(error);
                }
            }
        }
        let local = endpoints.iter().map(|sides| sides.each_ref().map(|e| self.shared.advertised(e.pair))).collect();
        let shard = self.shared.least_loaded();
        let id = SessionId::new(shard, self.shared.sequence.fetch_add(1, Ordering::Relaxed));
        let state = &self.shared.shards[shard];
        state.counters.sessions.fetch_add(1, Ordering::Relaxed);
        let opening = Box::new(Opening { id, endpoints, events, tap });
        if let Err(refused) = state.queue.push(Command::Open(opening)) {
            state.counters.sessions.fetch_sub(1, Ordering::Relaxed);
            if let Command::Open(mut opening) = refused {
                self.shared.give_back(&mut opening.endpoints);
            }
            return Err(Error::Busy);
        }
        Ok(Allocation { id, local })
    }

    /// Passes on what one SDP says of one side of one stream.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the worker does not keep up: the update did not happen and may be tried again.
    pub fn update(&self, id: SessionId, update: Update) -> Result<(), Error> {
        match self.shared.shards.get(id.shard()) {
            Some(shard) => shard.queue.push(Command::Update(id, Box::new(update))).map_err(|_| Error::Busy),
            None => Ok(()),
        }
    }

    /// Looks from now on whether both sides are heard: the call is answered. A worker that is too busy to take it does not look.
    pub fn watch(&self, id: SessionId) {
        if let Some(shard) = self.shared.shards.get(id.shard()) {
            // Refused, it is missing in a figure, and the refusal is counted.
            let _ = shard.queue.push(Command::Watch(id));
        }
    }

    /// Ends a session: its sockets close, its ports go back, and [`crate::Event::Released`] answers. An unknown id is
    /// ignored.
    pub fn release(&self, id: SessionId) {
        if let Some(still) = &self.shared.still {
            still.release(id, |pairs| self.shared.put_back(pairs.into_iter().flatten()));
        } else if let Some(shard) = self.shared.shards.get(id.shard()) {
            // A release is never refused.
            let _ = shard.queue.push(Command::Release(id));
        }
    }

    /// The sums over all workers, now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut sum = Gauges {
            free_pairs: self.shared.pool.lock().len() as u64,
            exhausted: self.shared.exhausted.load(Ordering::Relaxed),
            ..Gauges::default()
        };
        sum.sessions += self.shared.still.as_ref().map_or(0, Still::sessions);
        for shard in &self.shared.shards {
            shard.counters.add_to(&mut sum);
            sum.refused += shard.queue.refused();
        }
        sum
    }

    /// How many shards, that is workers, there are: one [`crate::spawn_shard`] each.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shared.shards.len()
    }

    /// [`Handle::allocate`] without sockets.
    fn allocate_still(&self, still: &Still, streams: usize, events: Events) -> Result<Allocation, Error> {
        let mut pool = self.shared.pool.lock();
        if pool.len() < streams * 2 {
            self.shared.exhausted.fetch_add(1, Ordering::Relaxed);
            return Err(Error::PortsExhausted);
        }
        let mut take = || pool.take().ok_or(Error::PortsExhausted);
        let pairs = (0..streams).map(|_| Ok([take()?, take()?])).collect::<Result<Pairs, Error>>()?;
        let local = pairs.iter().map(|sides| sides.map(|pair| self.shared.advertised(pair))).collect();
        let id = SessionId::new(0, self.shared.sequence.fetch_add(1, Ordering::Relaxed));
        still.open(id, pairs, events);
        Ok(Allocation { id, local })
    }

    fn bind_stream(&self) -> Result<[Endpoint; 2], Error> {
        let a = self.bind_endpoint()?;
        match self.bind_endpoint() {
            Ok(b) => Ok([a, b]),
            Err(error) => {
                let pair = a.pair;
                drop(a);
                self.shared.pool.lock().put(pair);
                Err(error)
            }
        }
    }

    /// Takes pairs until one can be bound; one that somebody else holds goes to the end of the pool.
    fn bind_endpoint(&self) -> Result<Endpoint, Error> {
        let options = &self.shared.options;
        for _ in 0..BIND_ATTEMPTS {
            let pair = self.shared.pool.lock().take().ok_or(Error::PortsExhausted)?;
            let opened = open_pair(options.addresses[usize::from(pair.address)], pair.port, options.dscp);
            match opened {
                Ok(sockets) => return Ok(Endpoint { sockets, pair }),
                Err(error) => {
                    self.shared.pool.lock().put(pair);
                    if !is_taken(&error) {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::PortsExhausted)
    }
}

/// Somebody else holds the port: another one may do.
fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Io(io) if io.kind() == io::ErrorKind::AddrInUse)
}

impl Shared {
    /// Closes the sockets and only then puts their ports back.
    pub(crate) fn give_back(&self, endpoints: &mut Endpoints) {
        let pairs: SmallVec<[Pair; 4]> = endpoints.drain(..).flatten().map(|endpoint| endpoint.pair).collect();
        self.put_back(pairs);
    }

    fn put_back(&self, pairs: impl IntoIterator<Item = Pair>) {
        let mut pool = self.pool.lock();
        pairs.into_iter().for_each(|pair| pool.put(pair));
    }

    fn advertised(&self, pair: Pair) -> SocketAddr {
        let bound = self.options.addresses[usize::from(pair.address)];
        let shown = self.options.advertise.filter(|a: &IpAddr| a.is_ipv4() == bound.is_ipv4()).unwrap_or(bound);
        SocketAddr::new(shown, pair.port)
    }

    fn least_loaded(&self) -> usize {
        let load = |shard: &usize| self.shards[*shard].counters.sessions.load(Ordering::Relaxed);
        (0..self.shards.len()).min_by_key(load).unwrap_or(0)
    }
}
