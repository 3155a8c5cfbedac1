//! Causes: SIP status codes and Q.850 in both directions (RFC 3398), and whether a failed attempt goes on to the next.
//! It never chooses that next one.

use crate::Reject;
use crate::gateway::Outcome;
use std::time::Duration;

/// How an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A final response of 300 or more, with the Q.850 cause of its Reason header if it had one (RFC 3326).
    Response {
        /// Status code.
        code: u16,
        /// Cause.
        q850: Option<u8>,
    },
    /// No response in time.
    Timeout,
    /// Nothing could be sent: the name does not resolve, the connection is refused, the socket failed.
    Transport,
    /// The trunk has no free channel or is over its rate; nothing was sent.
    Capacity,
}

impl Failure {
    /// The status code that stands for it (RFC 3261 §8.1.3.1).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Response { code, .. } => code,
            Self::Timeout => 408,
            Self::Transport | Self::Capacity => 503,
        }
    }

    /// Its cause: what the other side said, else by the code.
    #[must_use]
    pub const fn q850(self) -> u8 {
        match self {
            Self::Response { q850: Some(cause), .. } => cause,
            Self::Response { code, q850: None } => q850_of_sip(code),
            Self::Timeout => 102,
            Self::Transport => 38,
            Self::Capacity => 34,
        }
    }

    /// What the caller gets if this was the last attempt. That a carrier does not accept our credentials is our fault
    /// and no question to the caller, who could not answer it.
    #[must_use]
    pub const fn reject(self) -> Reject {
        let (code, reason) = match self {
            Self::Response { code: 401 | 407, .. } => (503, "the carrier refused our credentials"),
            Self::Response { code, .. } => (code, "the carrier refused the call"),
            Self::Timeout => (408, "the carrier did not answer"),
            Self::Transport => (503, "the carrier could not be reached"),
            Self::Capacity => (503, "no channel free on the carrier's trunk"),
        };
        Reject { code, q850: self.q850(), reason }
    }

    /// What it tells about the gateway, with the Retry-After of the response; `None` if nothing was sent there.
    #[must_use]
    pub const fn outcome(self, retry_after: Option<Duration>) -> Option<Outcome> {
        match self {
            Self::Response { code, .. } => Some(Outcome::of(code, retry_after)),
            Self::Timeout | Self::Transport => Some(Outcome::Silence),
            Self::Capacity => None,
        }
    }

    /// True if the next attempt should be made: by the trunk's list, and always where the carrier was never reached or
    /// refused us rather than the call.
    #[must_use]
    pub fn reroutes(self, reroute: &[u16]) -> bool {
        match self {
            Self::Timeout | Self::Transport | Self::Capacity => true,
            Self::Response { code: 401 | 407, .. } => true,
            Self::Response { code, .. } => reroute.contains(&code),
        }
    }
}

/// The cause for a status code (RFC 3398 §8.2.6.1).
#[must_use]
pub const fn q850_of_sip(code: u16) -> u8 {
    match code {
        401 | 402 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        // The caller has hung up; the RFC sends no cause, Q.850 calls it normal.
        487 => 16,
        // By its Warning header 488 may mean several; bearer capability is nearest to "no codec in common".
        488 | 606 => 65,
        400 | 409 | 481 | 491 | 500 | 503 => 41,
        502 => 38,
        _ => 127,
    }
}

/// The status code for a cause (RFC 3398 §7.2.4.1); what it does not list goes by the cause's class.
#[must_use]
pub const fn sip_of_q850(cause: u8) -> u16 {
    match cause {
        1 | 2 | 3 | 26 => 404,
        17 => 486,
        18 => 408,
        19 | 20 | 31 => 480,
        16 => 487,
        21 | 55 | 57 | 87 => 403,
        22 | 23 => 410,
        27 => 502,
        28 => 484,
        29 | 79 => 501,
        34 | 38 | 41 | 42 | 47 | 58 | 88 => 503,
        65 | 70 => 488,
        102 => 504,
        0..=24 => 480,
        32..=46 => 503,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::model::Egress;

    const fn response(code: u16) -> Failure {
        Failure::Response { code, q850: None }
    }

    #[test]
    fn codes_and_causes_map_as_the_rfc_says() {
        for (code, cause) in [(404, 1), (486, 17), (480, 18), (403, 21), (410, 22), (484, 28), (503, 41), (504, 102)] {
            assert_eq!(q850_of_sip(code), cause, "SIP {code}");
        }
        for (cause, code) in [(1, 404), (17, 486), (19, 480), (21, 403), (34, 503), (65, 488), (102, 504), (111, 500)] {
            assert_eq!(sip_of_q850(cause), code, "Q.850 {cause}");
        }
    }

    #[test]
    fn every_mapping_is_a_failure_and_a_cause() {
        assert!((0..=255).map(sip_of_q850).all(|code| (400..700).contains(&code)));
        assert!((300..700).map(q850_of_sip).all(|cause| (1..=127).contains(&cause)));
    }

    #[test]
    fn busy_and_no_such_number_come_back_as_they_went() {
        for code in [404, 486, 410, 403, 484, 501, 488, 504] {
            assert_eq!(sip_of_q850(q850_of_sip(code)), code);
        }
    }

    #[test]
    fn the_list_decides_and_an_unreached_carrier_always_reroutes() {
        for code in [408, 480, 500, 502, 503, 504] {
            assert!(response(code).reroutes(&Egress::REROUTE), "{code}");
        }
        for code in [302, 404, 486, 487, 488, 600, 603] {
            assert!(!response(code).reroutes(&Egress::REROUTE), "{code}");
        }
        assert!(response(486).reroutes(&[486]));
        for failure in [Failure::Timeout, Failure::Transport, Failure::Capacity, response(407)] {
            assert!(failure.reroutes(&[]), "{failure:?}");
        }
    }

    #[test]
    fn only_what_was_sent_tells_about_the_gateway() {
        let pause = Some(Duration::from_secs(5));
        assert_eq!(response(486).outcome(None), Some(Outcome::Response));
        assert_eq!(response(503).outcome(pause), Some(Outcome::Unavailable { retry_after: pause }));
        assert_eq!((Failure::Timeout.outcome(None), Failure::Capacity.outcome(None)), (Some(Outcome::Silence), None));
    }

    #[test]
    fn the_caller_sees_the_carriers_answer_but_no_challenge_of_it() {
        assert_eq!(response(486).reject().code, 486);
        assert_eq!(Failure::Response { code: 480, q850: Some(19) }.reject().q850, 19);
        assert_eq!((response(401).reject().code, response(407).reject().code), (503, 503));
        assert_eq!((Failure::Timeout.reject().code, Failure::Transport.reject().code), (408, 503));
    }
}
