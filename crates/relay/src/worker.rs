//! A packet thread: waits for its sockets, passes each packet to the session core, obeys, and rests for a moment.
//!
//! A round is one epoll wait and what it reported. Waking up is as dear as moving a packet, so a worker whose rounds
//! follow closely naps between them and finds a batch; one with little to do sleeps in epoll. The receiving sockets are
//! level-triggered and read once a round: the usual one has a single packet, and a second read only to hear that it is
//! empty would cost more than epoll's own look. A socket that was ready in the round before as well is read on, up to a
//! limit that keeps a flooded port from starving the others.
//!
//! It never logs a packet and never allocates for one; whoever taps a session's RTCP does that for himself.

use crate::command::{Command, Endpoints, Opening};
use crate::counters::Tally;
use crate::handle::{Handle, ShardState};
use crate::session::{Session, Verdict};
use crate::slots::{Slot, Slots, Token};
use crate::sys::{Poller, Ready, thread_cpu};
use crate::{Component, Event, Events, Reason, Rtcp, SessionId, Side, Stats, Update};
use sip::clock::Instant;
use smallvec::smallvec;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Sockets that one wait reports at most.
const BATCH: usize = 512;
/// Packets read at most from one socket in a round.
const BURST: usize = 16;
/// Larger than any packet that Ethernet carries; what fills it was cut off, and is dropped.
const PACKET_BYTES: usize = 2048;

pub(crate) struct Worker {
    handle: Handle,
    index: usize,
    poller: Poller,
    slots: Slots,
    commands: VecDeque<Command>,
    tally: Tally,
    cpu: Duration,
    next_tick: Instant,
}

impl Worker {
    pub(crate) fn new(handle: Handle, index: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(handle.shared.shards[index].queue.wakeup.fd(), Token::WAKEUP)?;
        let (slots, commands, tally) = (Slots::default(), VecDeque::new(), Tally::default());
        let next_tick = Instant::ORIGIN;
        Ok(Self { handle, index, poller, slots, commands, tally, cpu: Duration::ZERO, next_tick })
    }

    /// Works until it is told to stop.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let (clock, nap) = (self.handle.shared.options.clock, self.handle.shared.options.nap);
        let mut ready = Ready::with_capacity(BATCH);
        let mut buffer = [0; PACKET_BYTES];
        let mut round = 0_u16;
        // A former thread may have died between clearing the wake-up and taking what waited.
        self.handle_commands(clock());
        while !self.shard().queue.is_stopped() {
            let before = clock();
            self.poller.wait(&mut ready, self.patience(before))?;
            let now = clock();
            round = round.wrapping_add(1);
            // Commands first: who sends after an update was queued must find it done.
            if ready.tokens().any(|token| token == Token::WAKEUP) {
                self.shard().queue.wakeup.clear();
                self.handle_commands(now);
            }
            self.handle_ready(now, round, &ready, &mut buffer);
            if now >= self.next_tick {
                self.handle_tick(now);
            }
            self.handle.shared.shards[self.index].counters.publish(&mut self.tally);
            // A nap costs a second waking: it pays where a round would find several packets after it.
            if now.since(before) < nap / 2 && !ready.is_full() {
                std::thread::sleep(nap);
            }
        }
        // Sessions that were opened a moment before the stop are released like all others.
        self.handle_commands(clock());
        Ok(())
    }

    /// Releases every session with what is known of it; with `failed` because the worker broke.
    pub(crate) fn abandon(&mut self, failed: bool) {
        // An event sink that panics must not keep the other sessions from their end.
        let end = |endpoints, events, stats| {
            let _ = catch_unwind(AssertUnwindSafe(|| release(&self.handle, self.index, endpoints, &events, stats)));
        };
        for slot in self.slots.drain() {
            let stats = Stats { failed, ..slot.session.stats() };
            end(slot.endpoints, slot.events, stats);
        }
        for command in self.commands.drain(..) {
            if let Command::Open(opening) = command {
                end(opening.endpoints, opening.events, Stats { failed, ..Stats::default() });
            }
        }
        self.handle.shared.shards[self.index].counters.publish(&mut self.tally);
    }

    fn shard(&self) -> &ShardState {
        &self.handle.shared.shards[self.index]
    }

    /// How long to wait: for ever without sessions, else until the next look at the timeouts.
    fn patience(&self, now: Instant) -> Option<Duration> {
        (!self.slots.is_empty()).then(|| self.next_tick.since(now))
    }

    /// Moves the packets of all ready sockets. A token may be older than the commands just done: then its slot is empty,
    /// or another session's, whose socket has nothing to read or has it early.
    fn handle_ready(&mut self, now: Instant, round: u16, ready: &Ready, buffer: &mut [u8]) {
        for token in ready.tokens().filter(|token| *token != Token::WAKEUP).map(Token::unpack) {
            if let Some(slot) = self.slots.at(token.slot) {
                slot.read(now, round, token, buffer, &mut self.tally);
            }
        }
    }

    fn handle_commands(&mut self, now: Instant) {
        self.handle.shared.shards[self.index].queue.take(&mut self.commands);
        // One by one out of the worker's own queue: should an event sink panic, the rest is still there to be released.
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::Open(opening) => self.open(now, *opening),
                Command::Update(id, update) => self.update(now, id, *update),
                Command::Watch(id) => self.listen(now, id),
                Command::Release(id) => self.close(id),
            }
        }
    }

    fn open(&mut self, now: Instant, opening: Opening) {
        if self.slots.is_empty() {
            self.next_tick = now + self.tick();
        }
        let Opening { id, endpoints, events, tap } = opening;
        let session = Session::new(now, endpoints.len(), self.handle.shared.options.silence);
        let ready = smallvec![[[0; 2]; 2]; endpoints.len()];
        let index = self.slots.insert(Box::new(Slot { id, session, endpoints, events, tap, ready }));
        if let Err(error) = self.watch(index) {
            tracing::error!(%error, "a media session could not be watched");
            if let Some(slot) = self.slots.remove(id) {
                let stats = Stats { failed: true, ..Stats::default() };
                release(&self.handle, self.index, slot.endpoints, &slot.events, stats);
            }
        }
    }

    fn watch(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.slots.at(index) else { return Ok(()) };
        for (stream, sides) in (0_u8..).zip(&slot.endpoints) {
            for (side, endpoint) in Side::BOTH.into_iter().zip(sides) {
                for component in [Component::Rtp, Component::Rtcp] {
                    let token = Token { slot: index, stream, side, component };
                    self.poller.add(endpoint.sockets[component as usize].as_fd(), token.pack())?;
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, now: Instant, id: SessionId, update: Update) {
        if let Some(slot) = self.slots.by_id(id) {
            slot.session.handle_update(now, update);
        }
    }

    fn listen(&mut self, now: Instant, id: SessionId) {
        if let Some(slot) = self.slots.by_id(id) {
            slot.session.watch(now);
        }
    }

    fn close(&mut self, id: SessionId) {
        if let Some(mut slot) = self.slots.remove(id) {
            self.tally.lost += slot.session.take_lost();
            let stats = slot.session.stats();
            release(&self.handle, self.index, slot.endpoints, &slot.events, stats);
        }
    }

    /// Looks at every session: cheaper than a timer a session that each packet would move.
    fn handle_tick(&mut self, now: Instant) {
        self.next_tick = now + self.tick();
        for slot in self.slots.iter_mut() {
            self.tally.lost += slot.session.take_lost();
            let unheard = slot.session.poll_unheard(now, self.handle.shared.options.unheard);
            for event in slot.session.handle_timeout(now).into_iter().chain(unheard) {
                (slot.events)(event);
            }
        }
        let cpu = thread_cpu();
        self.shard().counters.add_cpu(cpu.saturating_sub(self.cpu));
        self.cpu = cpu;
    }

    fn tick(&self) -> Duration {
        (self.handle.shared.options.silence / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

impl Slot {
    /// Reads a ready socket: once, or on until it is empty when it was ready in the round before too.
    fn read(&mut self, now: Instant, round: u16, token: Token, buffer: &mut [u8], tally: &mut Tally) {
        let (stream, side) = (usize::from(token.stream), token.side.index());
        let Some(sides) = self.ready.get_mut(stream) else { return };
        let last = std::mem::replace(&mut sides[side][token.component as usize], round);
        let burst = if last == round.wrapping_sub(1) { BURST } else { 1 };
        for _ in 0..burst {
            let socket = &self.endpoints[stream][side].sockets[token.component as usize];
            match socket.recv_from(buffer) {
                Ok((PACKET_BYTES, _)) => {
                    self.session.handle_drop(token.side, token.stream, Reason::Malformed);
                    tally.dropped(Reason::Malformed);
                }
                Ok((length, source)) => self.pass(now, token, source, &buffer[..length], tally),
                Err(_) => break,
            }
        }
    }

    /// The path of one packet.
    fn pass(&mut self, now: Instant, token: Token, source: SocketAddr, packet: &[u8], tally: &mut Tally) {
        let Token { stream, side, component, .. } = token;
        match self.session.handle_packet(now, side, stream, component, source, packet) {
            Verdict::Forward { component, to, is_rtcp } => {
                let from = &self.endpoints[usize::from(stream)][side.other().index()];
                if from.sockets[component as usize].send_to(packet, to).is_ok() {
                    tally.forwarded(packet.len());
                } else {
                    self.session.handle_drop(side, stream, Reason::Send);
                    tally.dropped(Reason::Send);
                }
                if is_rtcp {
                    self.tell(token, source, packet);
                }
            }
            Verdict::Drop(reason) => tally.dropped(reason),
        }
        if let Some(event) = self.session.poll_event() {
            (self.events)(event);
        }
    }

    /// Copies RTCP to whoever wants it, under the addresses with which it came.
    fn tell(&self, token: Token, from: SocketAddr, packet: &[u8]) {
        let Some(tap) = &self.tap else { return };
        let endpoint = &self.endpoints[usize::from(token.stream)][token.side.index()];
        if let Ok(to) = endpoint.sockets[token.component as usize].local_addr() {
            tap(Rtcp { from, to, packet });
        }
    }
}

/// Closes the sockets, puts the ports back, and only then tells.
fn release(handle: &Handle, index: usize, mut endpoints: Endpoints, events: &Events, stats: Stats) {
    handle.shared.give_back(&mut endpoints);
    handle.shared.shards[index].counters.sessions.fetch_sub(1, Ordering::Relaxed);
    events(Event::Released(Box::new(stats)));
}
