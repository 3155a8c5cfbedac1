//! The nodes as one cluster: who is there, who may act for what, and what the leader does about it.
//!
//! The decisions are pure machines with the verbs of every core here: [`liveness::Liveness`] (whom we hear),
//! [`lease::Holder`] and [`lease::Grantor`] (who may act at all), [`handover::Handover`] (who acts for a shard) and
//! [`steward::Steward`] (the leader's duties). They read no clock and open no socket: whoever drives them hands in the
//! time, performs the effects and brings back what came of them.

pub mod handover;
pub mod lease;
pub mod liveness;
pub mod steward;
pub mod times;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
