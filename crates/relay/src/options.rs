//! What an operator or the composition root may set.

use crate::Error;
use sip::clock::Instant;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

/// How the relay runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Local addresses to bind; each has the whole range of ports.
    pub addresses: Vec<IpAddr>,
    /// The address to put into SDP when it is not the bound one (behind a NAT); used for addresses of its family.
    pub advertise: Option<IpAddr>,
    /// UDP ports; RTP takes the even ones and RTCP the odd one after (RFC 3550 §11).
    pub ports: RangeInclusive<u16>,
    /// How far into the ports the first session begins, any number. A process that starts again at once must not give the ports of
    /// its last calls, to which their parties still send, to its first ones.
    pub start: usize,
    /// Packet threads, at least one; one a core is right.
    pub workers: usize,
    /// Without media for so long, [`crate::Event::Silence`]. The media timeout.
    pub silence: Duration,
    /// How long a side that should send may send nothing at all once a session is watched, before [`crate::Event::Unheard`].
    pub unheard: Duration,
    /// How long a busy worker rests between rounds: it gathers a batch and halves the cost of a packet. Zero: never.
    pub nap: Duration,
    /// The DiffServ code point of every packet sent, 0–63; 46 is expedited forwarding (RFC 3246).
    pub dscp: u8,
    /// Commands that may wait for one worker before [`Error::Busy`].
    pub queue: usize,
    /// Gives ports out and moves no packet, without a thread or a socket: for simulations.
    pub still: bool,
    /// The clock of the process, so that [`crate::SideStats::last_media`] means something to the caller.
    pub clock: fn() -> Instant,
}

impl Options {
    /// The usual settings for these addresses and ports: one worker a core, a minute of silence, EF.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>, ports: RangeInclusive<u16>) -> Self {
        Self {
            addresses,
            advertise: None,
            ports,
            start: 0,
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            silence: Duration::from_secs(60),
            unheard: Duration::from_secs(10),
            nap: Duration::from_micros(500),
            dscp: 46,
            queue: 16_384,
            still: false,
            clock: monotonic,
        }
    }

    /// File descriptors that the relay needs with every port in use. Compare it with `RLIMIT_NOFILE` at start.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        let pairs = u64::try_from(self.pairs().count()).unwrap_or(u64::MAX);
        pairs * 2 * self.addresses.len() as u64 + self.workers as u64 * 2
    }

    /// File descriptors that so many sessions of one stream need: four sockets each, two a worker.
    #[must_use]
    pub const fn descriptors_for(&self, sessions: u64) -> u64 {
        sessions * 4 + self.workers as u64 * 2
    }

    /// The even ports of the range whose odd successor is in it too.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = u16> + use<> {
        let (first, last) = (u32::from(*self.ports.start()), u32::from(*self.ports.end()));
        (first.next_multiple_of(2)..last).step_by(2).filter_map(|port| u16::try_from(port).ok())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.addresses.is_empty() {
            return Err(Error::Options("media needs at least one address"));
        }
        if self.addresses.len() > usize::from(u8::MAX) {
            return Err(Error::Options("media takes at most 255 addresses"));
        }
        if *self.ports.start() == 0 || self.pairs().count() < 2 {
            return Err(Error::Options(
                "the media port range needs at least two even ports with the odd ones after them",
            ));
        }
        if self.workers == 0 || self.workers > 1024 {
            return Err(Error::Options("media workers must be between 1 and 1024"));
        }
        if self.dscp > 63 {
            return Err(Error::Options("a DSCP is between 0 and 63"));
        }
        if self.silence.is_zero() || self.queue == 0 {
            return Err(Error::Options("the media timeout and the queue must not be zero"));
        }
        Ok(())
    }
}

/// Microseconds since the first time anything in this process asked: the clock when none is given.
#[must_use]
pub fn monotonic() -> Instant {
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    Instant::from_micros(u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn options(ports: RangeInclusive<u16>) -> Options {
        Options::new(vec![Ipv4Addr::LOCALHOST.into()], ports)
    }

    #[test]
    fn a_pair_is_an_even_port_and_the_odd_one_after_it() {
        assert_eq!(options(20001..=20006).pairs().collect::<Vec<_>>(), [20002, 20004]);
        assert_eq!(options(65532..=65535).pairs().collect::<Vec<_>>(), [65532, 65534]);
        assert_eq!(options(20000..=29999).pairs().count(), 5000);
    }

    #[test]
    fn descriptors_cover_every_port_and_each_worker() {
        let mut o = options(20000..=20007);
        o.workers = 2;
        assert_eq!(o.descriptors(), 8 + 4);
        assert_eq!(o.descriptors_for(100), 404);
    }

    #[test]
    fn senseless_options_are_refused() {
        assert!(options(20000..=20007).check().is_ok());
        assert!(options(20000..=20001).check().is_err());
        let mut o = options(20000..=20007);
        o.dscp = 64;
        assert!(o.check().is_err());
        o = options(20000..=20007);
        o.addresses.clear();
        assert!(o.check().is_err());
    }
}
