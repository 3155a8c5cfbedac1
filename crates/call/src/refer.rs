//! REFER within a call (RFC 3515): whose policy counts, and what it says.
//!
//! `pass` hands the request to the other leg, which transfers itself; `refuse` is 603. `follow`, a transfer that the switch
//! carries out by itself, is not offered: its REFER gets 501, so that the sender knows that nothing happens.

use crate::core::Core;
use crate::effect::MediaSide;
use routing::model::Referral;

/// The code that a REFER from this side is refused with; `None` where it goes on to the other leg.
pub(crate) fn refusal(core: &Core, side: MediaSide) -> Option<u16> {
    match policy(core, side) {
        Referral::Pass => None,
        Referral::Refuse => Some(603),
        Referral::Follow => Some(501),
    }
}

/// The policy of the trunk that sends it; a line's REFER passes.
fn policy(core: &Core, side: MediaSide) -> Referral {
    let trunk = match side {
        MediaSide::A => core.caller.as_ref().and_then(|caller| caller.source.trunk()),
        MediaSide::B => core
            .paths
            .first()
            .and_then(|path| core.ledger.seized_target(path.attempt))
            .and_then(crate::attempt::trunk_of),
    };
    trunk.map_or(Referral::Pass, |trunk| trunk.refer)
}
