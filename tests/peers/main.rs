//! The node against user agents that nobody here wrote: SIPp and the phones of pjsua2.
//!
//! `direct` runs the same scenarios without the node, so that a failure elsewhere is the node's and not the scenario's.

mod attempts;
mod basic;
mod crash;
mod credentials;
mod dialog;
mod direct;
mod ending;
mod hostile;
mod ladder;
mod limits;
mod load;
mod logs;
mod loss;
mod media;
mod metrics;
mod operator;
mod phones;
mod registered;
mod streams;
mod traces;
mod transfer;
