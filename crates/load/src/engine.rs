//! The loop of a run: the schedule, the sockets, the timers, and which message belongs to which call.

use rustc_hash::FxHashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use crate::audio::Audio;
use crate::call::{Call, Context, State};
use crate::caller::micros;
use crate::net::{Inbox, Outbox, Poller, bind};
use crate::options::{Options, Scenario};
use crate::progress::{Progress, Snapshot};
use crate::tally::Tally;
use crate::wheel::Wheel;
use crate::wire::{self, Start};
use crate::{Error, Report, callee, caller, in_dialog};

/// Calls started before the sockets are looked at again, after a pause.
const BURST: u64 = 64;
/// After the last call started, and its length, how long the rest may take: the 32 s of timers B and F and a little.
const DRAIN: u64 = 36_000_000;
/// How often the progress is published, in microseconds.
const PUBLISH: u64 = 50_000;
/// A loop that handled so many messages gathers for [`NAP`] before the next look.
const BUSY: usize = 8;
const NAP: Duration = Duration::from_micros(200);
/// With audio every loop sends what is due, in small groups.
const AUDIO_NAP: Duration = Duration::from_micros(100);

/// One socket and the calls behind it.
struct Side {
    socket: UdpSocket,
    own: SocketAddr,
    out: Outbox,
    calls: FxHashMap<u64, Call>,
    wheel: Wheel<u64>,
}

/// A run.
pub(crate) struct Engine<'a> {
    options: &'a Options,
    caller: Option<Side>,
    callee: Option<Side>,
    tally: Tally,
    audio: Option<Audio>,
    poller: Poller,
    inbox: Inbox,
    /// Sets this run's identifiers apart from those of another one.
    run: u64,
    next_serial: u64,
    started: Instant,
    now: u64,
    /// When the last call was started.
    offered_until: Option<u64>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(options: &'a Options, calls: bool) -> Result<Self, Error> {
        let side = |address| -> Result<Side, Error> {
            let socket = bind(address)?;
            let own = socket.local_addr()?;
            Ok(Side { socket, own, out: Outbox::default(), calls: FxHashMap::default(), wheel: Wheel::new() })
        };
        let caller = calls.then(|| side(options.caller_bind)).transpose()?;
        let callee = options.callee_bind.map(side).transpose()?;
        let poller = Poller::new(2)?;
        for (token, side) in [&caller, &callee].into_iter().flatten().enumerate() {
            poller.add(&side.socket, token as u64)?;
        }
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            options,
            caller,
            callee,
            tally: Tally::default(),
            audio: options.audio.then(Audio::new).transpose()?,
            poller,
            inbox: Inbox::new(),
            run: micros(since_epoch),
            next_serial: 0,
            started: Instant::now(),
            now: 0,
            offered_until: None,
        })
    }

    pub(crate) fn run(mut self, progress: &Progress) -> Result<Report, Error> {
        let (mut published, mut tokens) = (0, Vec::new());
        self.started = Instant::now();
        loop {
            self.now = micros(self.started.elapsed());
            if progress.stopped() && !self.tally.stopping {
                self.hang_up_all();
            }
            self.offer();
            let handled = self.turn();
            if self.now >= published + PUBLISH {
                published = self.now;
                progress.publish(&self.snapshot());
            }
            if self.finished() {
                break;
            }
            tokens.clear();
            match (handled >= BUSY, &self.audio) {
                (_, Some(_)) => std::thread::sleep(AUDIO_NAP),
                (true, None) => std::thread::sleep(NAP),
                (false, None) => {
                    self.poller.wait(Duration::from_millis(1), &mut tokens);
                }
            }
        }
        Ok(self.report(progress))
    }

    fn report(mut self, progress: &Progress) -> Report {
        progress.publish(&self.snapshot());
        let audio = self.audio.take().map(|audio| audio.report());
        Report { audio, ..self.tally.into_report(self.now) }
    }

    /// Starts the calls that the schedule wants by now.
    fn offer(&mut self) {
        let Some(side) = &mut self.caller else { return };
        if self.offered_until.is_some() {
            return;
        }
        let elapsed = self.now.min(micros(self.options.duration));
        let scheduled = (elapsed as f64 * self.options.rate / 1e6) as u64 + 1;
        let wanted = scheduled.min(self.options.calls.unwrap_or(u64::MAX));
        for _ in 0..BURST {
            if self.next_serial >= wanted {
                break;
            }
            let serial = self.next_serial;
            self.next_serial += 1;
            if self.tally.open_callers >= self.options.max_in_flight {
                self.tally.held_back += 1;
                continue;
            }
            self.tally.offered += 1;
            self.tally.target(self.options, serial).offered += 1;
            self.tally.open_callers += 1;
            self.tally.max_in_flight = self.tally.max_in_flight.max(self.tally.open_callers);
            let mut cx = side.context(self.now, self.options, &mut self.tally, &mut self.audio);
            let call = caller::start(serial, self.run, &mut cx);
            side.keep(key(&call.dialog.call_id), call);
        }
        let all = self.options.calls.is_some_and(|calls| self.next_serial >= calls);
        let over = self.now >= micros(self.options.duration) && self.next_serial >= wanted;
        if all || over {
            self.offered_until = Some(self.now);
        }
    }

    /// Messages, timers and audio, once; returns how many messages there were.
    ///
    /// What waits at both sockets is handled before any timer fires: after a pause of this thread a timer may be over
    /// whose answer has long been here, and that would count as a retransmission of the switch's making.
    fn turn(&mut self) -> usize {
        let mut handled = 0;
        for _ in 0..2 {
            handled += self.receive(true) + self.receive(false);
        }
        for side in [&mut self.caller, &mut self.callee].into_iter().flatten() {
            side.fire(self.now, self.options, &mut self.tally, &mut self.audio);
            side.out.flush(&side.socket);
        }
        if let Some(audio) = &mut self.audio {
            audio.step(self.now);
        }
        handled
    }

    /// Handles what waits at one side; bounded, so that neither starves the other nor the schedule.
    fn receive(&mut self, caller_side: bool) -> usize {
        let side = if caller_side { &mut self.caller } else { &mut self.callee };
        let Some(side) = side else { return 0 };
        let handling = Handling { now: self.now, run: self.run, options: self.options };
        let mut handled = 0;
        for _ in 0..16 {
            let count = self.inbox.receive(&side.socket);
            for index in 0..count {
                let (bytes, source) = self.inbox.datagram(index);
                side.take(&handling, &mut self.tally, &mut self.audio, bytes, source, !caller_side);
            }
            handled += count;
            if count == 0 {
                break;
            }
        }
        side.out.flush(&side.socket);
        handled
    }

    /// Ends the offering and hangs up what is open.
    fn hang_up_all(&mut self) {
        self.tally.stopping = true;
        self.offered_until = Some(self.now);
        // Where both sides are ours the callers hang up, and the callees follow.
        for side in [&mut self.caller, &mut self.callee].into_iter().flatten().take(1) {
            for (&key, call) in &mut side.calls {
                if matches!(call.state, State::Established | State::Proceeding) {
                    if call.state == State::Proceeding {
                        call.scenario = Scenario::Cancelled;
                    }
                    call.due = Some(self.now);
                    side.wheel.set(self.now, key);
                }
            }
        }
    }

    fn finished(&self) -> bool {
        let open = self.tally.open_callers + self.tally.open_callees;
        if self.caller.is_none() {
            let end = micros(self.options.duration);
            return self.now >= end || (self.offered_until.is_some() && open == 0);
        }
        let Some(last) = self.offered_until else { return false };
        open == 0 || self.now > last + micros(self.options.hold) + micros(self.options.ring) + DRAIN
    }

    fn snapshot(&self) -> Snapshot {
        let tally = &self.tally;
        let audio = self.audio.as_ref().map(Audio::report).unwrap_or_default();
        Snapshot {
            offered: if self.caller.is_some() { tally.offered } else { tally.callee.offered },
            answered: if self.caller.is_some() { tally.answered } else { tally.callee.answered },
            completed: if self.caller.is_some() { tally.completed } else { tally.callee.completed },
            refused: tally.refused(),
            failed: tally.failed,
            in_flight: if self.caller.is_some() { tally.open_callers } else { tally.open_callees },
            retransmissions: tally.sent_again,
            packets_sent: audio.packets_sent,
            packets_received: audio.packets_received,
            packets_lost: audio.packets_lost,
            bad_samples: audio.bad_samples,
            legs_hearing: self.audio.as_ref().map_or(0, |audio| audio.legs_hearing(self.now)),
            longest_gap_ms: audio.longest_gap_ms.max,
            moved: tally.moved,
            elapsed_ms: self.now / 1000,
        }
    }
}

/// What is the same for every message of a turn.
struct Handling<'a> {
    now: u64,
    run: u64,
    options: &'a Options,
}

impl Side {
    fn context<'a>(
        &'a mut self,
        now: u64,
        options: &'a Options,
        tally: &'a mut Tally,
        audio: &'a mut Option<Audio>,
    ) -> Context<'a> {
        Context { now, own: self.own, options, out: &mut self.out, tally, audio }
    }

    /// Keeps a call and sets the alarm that it needs.
    fn keep(&mut self, key: u64, mut call: Call) {
        if let Some(at) = call.wakes_at().filter(|&at| call.alarm.is_none_or(|alarm| at < alarm)) {
            call.alarm = Some(at);
            self.wheel.set(at, key);
        }
        self.calls.insert(key, call);
    }

    fn fire(&mut self, now: u64, options: &Options, tally: &mut Tally, audio: &mut Option<Audio>) {
        let mut due = Vec::new();
        self.wheel.take_due(now, &mut due);
        for key in due {
            let Some(mut call) = self.calls.remove(&key) else { continue };
            call.alarm = None;
            if call.on_time(&mut self.context(now, options, tally, audio)) {
                self.keep(key, call);
            }
        }
    }

    fn take(
        &mut self,
        handling: &Handling<'_>,
        tally: &mut Tally,
        audio: &mut Option<Audio>,
        bytes: &[u8],
        source: SocketAddr,
        answers: bool,
    ) {
        let Some(message) = wire::read(bytes) else {
            // A bare line end keeps a binding of a NAT alive (RFC 5626 §3.5.1).
            tally.stray += u64::from(!bytes.iter().all(u8::is_ascii_whitespace));
            return;
        };
        let key = key(message.call_id);
        let found = self.calls.remove(&key);
        let mut cx = self.context(handling.now, handling.options, tally, audio);
        let kept = match (found, &message.start) {
            (Some(mut call), &Start::Response { code }) => {
                if message.cseq_method == "BYE" {
                    call.on_bye_response(&mut cx, code);
                } else {
                    caller::on_response(&mut call, &mut cx, code, &message, source);
                }
                Some(call)
            }
            (Some(mut call), &Start::Request { method, .. }) => {
                in_dialog::on_request(&mut call, &mut cx, method, &message, source);
                Some(call)
            }
            (None, Start::Request { method: "INVITE", .. }) if answers && message.to_tag().is_none() => {
                let serial = cx.tally.callee.offered;
                Some(callee::start(serial, handling.run, &mut cx, &message, source))
            }
            (None, &Start::Request { method, .. }) => {
                out_of_call(&mut cx, method, &message, source);
                None
            }
            (None, Start::Response { .. }) => {
                cx.tally.stray += 1;
                None
            }
        };
        if let Some(call) = kept {
            self.keep(key, call);
        }
    }
}

/// Requests that belong to no call: gateways are pinged with OPTIONS, the rest has no business here.
fn out_of_call(cx: &mut Context<'_>, method: &str, message: &wire::Message<'_>, source: SocketAddr) {
    match method {
        "OPTIONS" => in_dialog::respond(cx, message, source, 200),
        "ACK" => cx.tally.stray += 1,
        _ if message.to_tag().is_some() || method == "CANCEL" => {
            cx.tally.stray += 1;
            in_dialog::respond(cx, message, source, 481);
        }
        _ => in_dialog::respond(cx, message, source, 405),
    }
}

fn key(call_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    call_id.hash(&mut hasher);
    hasher.finish()
}
