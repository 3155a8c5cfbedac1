//! REFER within a call (RFC 3515): whose policy counts.

use crate::core::Core;
use crate::effect::MediaSide;
pub(crate) use routing::model::Referral;

/// The policy for a REFER from this side: that of its trunk; a line's goes to the other side.
pub(crate) fn policy(core: &Core, side: MediaSide) -> Referral {
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
