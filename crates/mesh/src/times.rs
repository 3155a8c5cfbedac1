//! The times of the cluster. All nodes must agree on those of the lease, so none of them is a setting.

use std::time::Duration;

/// How long a lease lasts, from the moment at which the renewal was sent.
pub const LEASE: Duration = Duration::from_millis(1000);
/// How long the leader's own lease lasts, from when it sent what a quorum has confirmed: until 200 ms before anybody votes for
/// another one. So whoever is elected need not wait for the lease that the former leader gave itself.
pub const OWN_LEASE: Duration = Duration::from_millis(500);
const _: () = assert!(OWN_LEASE.as_millis() + MARGIN.as_millis() <= tables::NO_VOTE.as_millis());
/// How often a lease is renewed.
pub const RENEW: Duration = Duration::from_millis(200);
/// What is added to a lease before anybody counts on its end: clocks that run unevenly, and an act that was begun.
pub const MARGIN: Duration = Duration::from_millis(200);
/// How long a new owner waits for a former one that lives and has not said that it stopped: by then its lease has run out,
/// since it is not renewed for a view that is older than the move.
pub const HANDOVER: Duration = Duration::from_millis(1200);

/// The waits that keep two nodes from acting for one shard. All nodes must have the same, so they are no setting of node.toml:
/// a simulation shortens them to show that it finds what comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    /// How long after it was last granted a lease a node may be fenced.
    pub fence: Duration,
    /// How long a new owner waits for a former one that lives and has not said that it stopped.
    pub handover: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { fence: LEASE + MARGIN, handover: HANDOVER }
    }
}

/// What is heard of a peer, and when it is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often a heartbeat is sent.
    pub beat: Duration,
    /// Silent for so long it is suspect.
    pub suspect: Duration,
    /// Silent for so long it is dead.
    pub dead: Duration,
}

/// Between nodes of one site.
pub const NEAR: Pace =
    Pace { beat: Duration::from_millis(100), suspect: Duration::from_millis(300), dead: Duration::from_millis(500) };
/// Between sites; there the end must be agreed.
pub const FAR: Pace =
    Pace { beat: Duration::from_millis(200), suspect: Duration::from_millis(600), dead: Duration::from_millis(1000) };

/// How long a peer may take until it is heard for the first time, or again after we slept: links have to be made.
pub const FIRST_CONTACT: Duration = Duration::from_millis(3000);
/// With nobody to ask, a peer of another site is given up only after so much more silence.
pub const ALONE: Duration = Duration::from_millis(1000);
/// How often observers and the silent node's SIP address are asked again.
pub const PROBE: Duration = Duration::from_millis(200);
/// How long an observer's answer counts.
pub const FRESH: Duration = Duration::from_millis(500);
/// A call that comes so much later than it was asked for shows that this process, or its clock, stood still.
pub const LATE: Duration = Duration::from_millis(150);
/// Having stood still for so long, the links are taken for lost.
pub const SLEPT: Duration = Duration::from_millis(1000);
