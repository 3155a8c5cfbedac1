//! Audio: legs that send a tone every 20 ms and check the tone that they hear. One socket a leg, as real phones have,
//! so that a relay that mixes up its ports is found out. It knows nothing of SIP.

mod g711;
mod receiver;
mod tone;

pub use tone::Tone;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::net::Poller;
use crate::{AudioReport, Codec};
use receiver::Receiver;
use tone::SECOND;

/// Samples in a packet of 20 ms.
const FRAME: usize = 160;
/// The grain of the schedule of sends, in microseconds: fine, so that packets come spread as on a network.
const TICK: u64 = 100;
/// Ticks between two packets of a leg, 20 ms: the slots of the wheel of sends.
const PERIOD: u64 = 200;
/// Ticks in a second: packets that a pause of the whole thread delayed for longer are never sent.
const LATEST: u64 = 10_000;
/// The first and the last port tried for RTP, even ones only.
const PORTS: (u16, u16) = (16_384, 65_000);
/// A leg that heard nothing for this long (microseconds) is not hearing.
const SILENCE: u64 = 200_000;

/// A leg of a call. It is valid until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegId(usize);

/// All legs of one thread.
pub struct Audio {
    legs: Vec<Option<Leg>>,
    free: Vec<usize>,
    /// Which legs send in which tick of the period.
    slots: Vec<Vec<usize>>,
    /// The last tick whose packets were sent.
    sent_until: u64,
    next_port: u16,
    poller: Poller,
    tokens: Vec<u64>,
    tones: tone::Tones,
    gaps: Histogram,
    moved_gaps: Histogram,
    report: AudioReport,
}

struct Leg {
    socket: UdpSocket,
    port: u16,
    far: Option<SocketAddr>,
    codec: Codec,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    slot: Option<usize>,
    moved: bool,
}

struct Sender {
    samples: Arc<[u8]>,
    position: usize,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Audio {
    /// No legs yet.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            legs: Vec::new(),
            free: Vec::new(),
            slots: (0..PERIOD).map(|_| Vec::new()).collect(),
            sent_until: 0,
            next_port: PORTS.0,
            poller: Poller::new(1024)?,
            tokens: Vec::new(),
            tones: tone::Tones::default(),
            gaps: Histogram::default(),
            moved_gaps: Histogram::default(),
            report: AudioReport::default(),
        })
    }

    /// Opens a leg with a socket of its own on `ip`. It neither sends nor listens yet.
    ///
    /// # Errors
    /// Where no port or no descriptor is left.
    pub fn open(&mut self, ip: IpAddr) -> io::Result<LegId> {
        let socket = self.bind(ip)?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        let at = self.free.pop().unwrap_or(self.legs.len());
        self.poller.add(&socket, at as u64)?;
        let leg =
            Leg { socket, port, far: None, codec: Codec::Pcma, sender: None, receiver: None, slot: None, moved: false };
        if at == self.legs.len() {
            self.legs.push(Some(leg));
        } else {
            self.legs[at] = Some(leg);
        }
        Ok(LegId(at))
    }

    fn bind(&mut self, ip: IpAddr) -> io::Result<UdpSocket> {
        let mut refused = io::ErrorKind::AddrNotAvailable.into();
        for _ in 0..1000 {
            let port = self.next_port;
            self.next_port = if port >= PORTS.1 { PORTS.0 } else { port + 2 };
            match UdpSocket::bind((ip, port)) {
                Ok(socket) => return Ok(socket),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The port of a leg; 0 where it was closed.
    #[must_use]
    pub fn port(&self, leg: LegId) -> u16 {
        self.legs[leg.0].as_ref().map_or(0, |leg| leg.port)
    }

    /// Tells a leg where its packets go, what it says, and what it should hear. Called again, it moves the leg to
    /// another address and keeps its streams, unless the codec changed.
    pub fn start(&mut self, leg: LegId, far: SocketAddr, codec: Codec, says: Tone, hears: Tone, now: u64) {
        let Some(open) = &mut self.legs[leg.0] else { return };
        open.far = Some(far);
        if open.sender.is_some() && open.codec == codec {
            return;
        }
        if open.sender.is_none() {
            self.report.legs += 1;
        }
        open.codec = codec;
        let number = u32::try_from(leg.0).unwrap_or(0);
        open.sender = Some(Sender {
            samples: self.tones.samples(says, codec),
            position: says.start(),
            sequence: (now / 1000) as u16,
            timestamp: (now as u32).wrapping_mul(2_654_435_761),
            ssrc: (now as u32).rotate_left(16) ^ number.wrapping_mul(2_246_822_519),
        });
        open.receiver = Some(Receiver::new(self.tones.samples(hears, codec), codec.payload_type()));
    }

    /// The far end goes on from another address: the pause of this leg is counted apart.
    pub fn moves(&mut self, leg: LegId) {
        if let Some(open) = &mut self.legs[leg.0] {
            open.moved = true;
        }
    }

    /// From `now` on the leg sends.
    pub fn speak(&mut self, leg: LegId, now: u64) {
        let Some(open) = &mut self.legs[leg.0] else { return };
        if open.slot.is_none() {
            let slot = usize::try_from((now / TICK + 1) % PERIOD).unwrap_or(0);
            open.slot = Some(slot);
            self.slots[slot].push(leg.0);
        }
    }

    /// Ends a leg at `now` and counts what it heard.
    pub fn close(&mut self, leg: LegId, now: u64) {
        let Some(mut closed) = self.legs[leg.0].take() else { return };
        self.free.push(leg.0);
        if let Some(slot) = closed.slot {
            self.slots[slot].retain(|&at| at != leg.0);
        }
        let Some(receiver) = &mut closed.receiver else { return };
        let lost = self.report.packets_lost;
        match receiver.end(now, &mut self.report) {
            Some(gap) => {
                self.gaps.record(gap / 1000);
                if closed.moved {
                    self.report.moved_lost += self.report.packets_lost - lost;
                    self.moved_gaps.record(gap / 1000);
                }
            }
            None => self.report.silent_legs += 1,
        }
    }

    /// Sends what is due at `now` (microseconds of the caller's clock) and hears what came. Call it every
    /// millisecond or oftener.
    pub fn step(&mut self, now: u64) {
        let until = now / TICK;
        let pause_ms = until.saturating_sub(self.sent_until) * TICK / 1000;
        self.report.own_pause_ms = self.report.own_pause_ms.max(pause_ms);
        self.sent_until = self.sent_until.max(until.saturating_sub(LATEST));
        while self.sent_until < until {
            self.sent_until += 1;
            self.send_slot(usize::try_from(self.sent_until % PERIOD).unwrap_or(0));
        }
        self.hear(now);
    }

    fn send_slot(&mut self, slot: usize) {
        for &at in &self.slots[slot] {
            let Some(leg) = &mut self.legs[at] else { continue };
            let (Some(far), Some(sender)) = (leg.far, &mut leg.sender) else { continue };
            let packet = sender.next_packet(leg.codec);
            match leg.socket.send_to(&packet, far) {
                Ok(_) => self.report.packets_sent += 1,
                Err(_) => self.report.send_errors += 1,
            }
        }
    }

    fn hear(&mut self, now: u64) {
        let mut buffer = [0; 2048];
        loop {
            self.tokens.clear();
            self.poller.wait(Duration::ZERO, &mut self.tokens);
            for &token in &self.tokens {
                let Some(leg) = usize::try_from(token).ok().and_then(|at| self.legs[at].as_mut()) else { continue };
                let Ok((length, _)) = leg.socket.recv_from(&mut buffer) else { continue };
                match &mut leg.receiver {
                    Some(receiver) => receiver.on_datagram(now, &buffer[..length], &mut self.report),
                    None => self.report.packets_early += 1,
                }
            }
            if self.tokens.is_empty() {
                return;
            }
        }
    }

    /// How many open legs heard something lately.
    #[must_use]
    pub fn legs_hearing(&self, now: u64) -> u64 {
        let hearing = |leg: &&Leg| {
            let last = leg.receiver.as_ref().and_then(|receiver| receiver.last_at);
            last.is_some_and(|last| now.saturating_sub(last) < SILENCE)
        };
        self.legs.iter().flatten().filter(hearing).count() as u64
    }

    /// The counts so far; losses and pauses only of legs that were closed.
    #[must_use]
    pub fn report(&self) -> AudioReport {
        let (longest_gap_ms, moved_gap_ms) = (self.gaps.quantiles(), self.moved_gaps.quantiles());
        AudioReport { longest_gap_ms, moved_gap_ms, ..self.report.clone() }
    }
}

impl Sender {
    fn next_packet(&mut self, codec: Codec) -> [u8; 12 + FRAME] {
        let mut packet = [0; 12 + FRAME];
        packet[0] = 0x80;
        packet[1] = codec.payload_type();
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(&self.samples[self.position..self.position + FRAME]);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.position = (self.position + FRAME) % SECOND;
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(audio: &mut Audio, legs: [LegId; 2], ends: [u64; 2]) {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let far = |leg| SocketAddr::new(ip, audio.port(leg));
        let (a, b) = (far(legs[0]), far(legs[1]));
        audio.start(legs[0], b, Codec::Pcma, Tone::new(ends[0]), Tone::new(ends[1]), 0);
        audio.start(legs[1], a, Codec::Pcma, Tone::new(1), Tone::new(0), 0);
        legs.iter().for_each(|&leg| audio.speak(leg, 0));
        for millisecond in 0..=1000 {
            audio.step(millisecond * 1000);
        }
        legs.iter().for_each(|&leg| audio.close(leg, 1_000_000));
    }

    #[test]
    fn two_legs_hear_each_other_s_tone() {
        let mut audio = Audio::new().expect("a poller");
        let legs = [(); 2].map(|()| audio.open(IpAddr::from([127, 0, 0, 1])).expect("a port"));
        talk(&mut audio, legs, [0, 1]);
        let report = audio.report();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.packets_sent, report.packets_received, report.legs), (100, 100, 2));
        assert_eq!(report.longest_gap_ms.max, 20);
    }

    #[test]
    fn a_leg_that_hears_its_own_tone_complains() {
        let mut audio = Audio::new().expect("a poller");
        let legs = [(); 2].map(|()| audio.open(IpAddr::from([127, 0, 0, 1])).expect("a port"));
        talk(&mut audio, legs, [0, 0]);
        assert_eq!(audio.report().bad_packets, 50);
    }
}
