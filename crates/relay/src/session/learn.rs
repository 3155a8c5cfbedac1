//! Symmetric RTP, learnt safely: which source address a side may send from, and where we send to it.
//!
//! What SDP says is the anchor. A source that is exactly the signalled address is right at any time and shuts out all
//! others. Behind a NAT the source differs; then the first valid packet opens a short window, in which a source with
//! the signalled IP address replaces one with another, and after which the address stands until SDP changes it. A source
//! with an IP address that SDP does not name must first show a stream: two packets in sequence of one SSRC, so that a
//! scan that tries every port with a packet each binds nothing. So whoever guesses a port can neither put audio into a
//! call nor draw it to himself, unless he is faster than the party and the party never sends from where it said.

use sip::clock::Instant;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long after its first packet a side may still turn out to send from a better address.
pub(super) const WINDOW: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learn {
    signalled: Option<SocketAddr>,
    source: Option<SocketAddr>,
    closes: Instant,
}

impl Learn {
    /// Takes the address from SDP. A new one forgets what was learnt; the same one changes nothing.
    pub(super) fn signal(&mut self, address: Option<SocketAddr>) {
        let address = address.filter(is_usable);
        if address != self.signalled {
            *self = Self { signalled: address, ..Self::default() };
        }
    }

    /// Whether SDP gave an address.
    pub(super) const fn is_known(&self) -> bool {
        self.signalled.is_some()
    }

    /// Whether `source` is bound or is what SDP says: nothing is learnt from asking.
    pub(super) fn is_at(&self, source: SocketAddr) -> bool {
        self.source == Some(source) || self.signalled == Some(source)
    }

    /// The IP address of the source that is bound now.
    pub(super) fn bound_ip(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip())
    }

    /// The IP address that SDP gave.
    pub(super) fn signalled_ip(&self) -> Option<IpAddr> {
        self.signalled.map(|signalled| signalled.ip())
    }

    /// Where to send: to where the side was heard from, else to where its SDP says.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.source.or(self.signalled)
    }

    /// Whether a valid RTP packet from `source` is this side's. `probation` remembers the last stream that was not yet
    /// believed.
    pub(super) fn accept_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        (ssrc, sequence): (u32, u16),
        probation: &mut Option<Probation>,
    ) -> bool {
        if self.source == Some(source) {
            return true;
        }
        if self.source.is_some() || self.signalled_ip() == Some(source.ip()) {
            return self.accept(now, source);
        }
        let shown = Probation { source, ssrc, next: sequence };
        if *probation == Some(shown) {
            *probation = None;
            return self.accept(now, source);
        }
        *probation = Some(Probation { next: sequence.wrapping_add(1), ..shown });
        false
    }

    /// Whether a valid packet from `source`, which shares an IP address with what is known, is this side's.
    pub(super) fn accept(&mut self, now: Instant, source: SocketAddr) -> bool {
        if self.source == Some(source) {
            return true;
        }
        let Some(signalled) = self.signalled else { return false };
        let better = match self.source {
            None => {
                self.closes = now + WINDOW;
                true
            }
            Some(_) if source == signalled => true,
            Some(bound) => now < self.closes && rank(source, signalled) > rank(bound, signalled),
        };
        if better {
            self.source = Some(source);
        }
        better
    }
}

/// A stream from an address that SDP does not name, and the sequence number that would prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probation {
    source: SocketAddr,
    ssrc: u32,
    next: u16,
}

/// How well a source fits what SDP says.
fn rank(source: SocketAddr, signalled: SocketAddr) -> u8 {
    if source == signalled { 2 } else { u8::from(source.ip() == signalled.ip()) }
}

/// An address of hold in the old way (0.0.0.0, RFC 3264 §8.4), port 0 or a group is nobody to talk to.
fn is_usable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "192.0.2.1:4000";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn learn() -> Learn {
        let mut learn = Learn::default();
        learn.signal(Some(address(SDP)));
        learn
    }

    #[test]
    fn the_signalled_address_is_bound_at_once_and_for_good() {
        let mut learn = learn();
        assert_eq!(learn.destination(), Some(address(SDP)));
        assert!(learn.accept(at(0), address(SDP)));
        assert!(!learn.accept(at(1), address("192.0.2.1:4002")));
        assert!(!learn.accept(at(1), address("203.0.113.5:4000")));
        assert_eq!(learn.destination(), Some(address(SDP)));
    }

    #[test]
    fn behind_a_nat_the_first_source_is_bound_and_the_window_closes() {
        let mut learn = learn();
        assert!(learn.accept(at(60_000), address("203.0.113.5:9000")), "the party may be silent long after its SDP");
        assert!(!learn.accept(at(60_001), address("203.0.113.6:9000")), "an equal one comes too late");
        assert!(learn.accept(at(62_999), address("192.0.2.1:5000")), "the signalled IP address is better");
        assert!(!learn.accept(at(63_001), address("203.0.113.5:9000")));
        assert_eq!(learn.destination(), Some(address("192.0.2.1:5000")));
    }

    #[test]
    fn after_the_window_only_the_signalled_address_itself_is_better() {
        let mut learn = learn();
        assert!(learn.accept(at(0), address("203.0.113.5:9000")));
        assert!(!learn.accept(at(3_000), address("192.0.2.1:5000")));
        assert!(learn.accept(at(9_000), address(SDP)));
        assert!(!learn.accept(at(9_001), address("203.0.113.5:9000")));
    }

    #[test]
    fn a_changed_address_opens_learning_again_and_the_same_does_not() {
        let mut learn = learn();
        assert!(learn.accept(at(0), address("203.0.113.5:9000")));
        learn.signal(Some(address(SDP)));
        assert!(!learn.accept(at(5_000), address("203.0.113.7:1")));
        learn.signal(Some(address("192.0.2.2:4000")));
        assert_eq!(learn.destination(), Some(address("192.0.2.2:4000")));
        assert!(learn.accept(at(6_000), address("203.0.113.7:1")));
    }

    #[test]
    fn an_address_that_sdp_does_not_name_must_show_a_stream() {
        let (mut learn, mut probation) = (learn(), None);
        let (scan, party) = (address("203.0.113.66:1"), address("203.0.113.5:9000"));
        assert!(!learn.accept_rtp(at(0), scan, (1, 10), &mut probation));
        assert!(!learn.accept_rtp(at(1), party, (7, 10), &mut probation));
        assert!(!learn.accept_rtp(at(2), scan, (2, 11), &mut probation), "another SSRC");
        assert!(!learn.accept_rtp(at(3), party, (7, 11), &mut probation));
        assert!(learn.accept_rtp(at(4), party, (7, 12), &mut probation));
        assert!(!learn.accept_rtp(at(5), scan, (1, 12), &mut probation));
        assert!(!learn.accept_rtp(at(6), scan, (1, 13), &mut probation));
        assert_eq!(learn.destination(), Some(party));
    }

    #[test]
    fn without_an_address_nobody_is_accepted() {
        for nobody in ["0.0.0.0:4000", "192.0.2.1:0", "224.0.0.1:4000", "255.255.255.255:9", "[::]:1", "[ff02::1]:1"] {
            let mut learn = Learn::default();
            learn.signal(Some(address(nobody)));
            assert!(!learn.accept(at(0), address("203.0.113.5:9000")), "{nobody}");
            assert_eq!(learn.destination(), None);
        }
    }
}
