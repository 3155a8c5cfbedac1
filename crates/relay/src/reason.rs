//! Why packets are dropped, and how many.

/// Why a packet was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not RTP or RTCP as RFC 3550 has it.
    Malformed,
    /// It came from another address than the one the SDP gave or learning bound.
    Source,
    /// Its payload type was not negotiated.
    Payload,
    /// One of the sides is on hold: it may not send, or the other does not receive.
    Held,
    /// No SDP of the sending side is known yet.
    Early,
    /// No address of the receiving side is known.
    NoRemote,
    /// The socket did not take it.
    Send,
}

impl Reason {
    /// Every reason, in the order of its index.
    pub const ALL: [Self; 7] =
        [Self::Malformed, Self::Source, Self::Payload, Self::Held, Self::Early, Self::NoRemote, Self::Send];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Source => "source",
            Self::Payload => "payload",
            Self::Held => "held",
            Self::Early => "early",
            Self::NoRemote => "no_remote",
            Self::Send => "send",
        }
    }
}

/// Dropped packets by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u32; Reason::ALL.len()]);

impl Drops {
    /// How many were dropped for that reason.
    #[must_use]
    pub const fn of(&self, reason: Reason) -> u32 {
        self.0[reason as usize]
    }

    /// How many were dropped at all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&n| u64::from(n)).sum()
    }

    pub(crate) fn count(&mut self, reason: Reason) {
        let n = &mut self.0[reason as usize];
        *n = n.saturating_add(1);
    }
}
