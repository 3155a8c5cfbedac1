//! The lease of a node: the right to act as owner, for one second at a time.
//!
//! A node asks the Raft leader every 200 ms. The [`Holder`] counts from the moment at which it *sent* what was granted, the
//! [`Grantor`] from the moment at which it *granted*, later by all that happened in between: so the holder stops
//! first, whatever the network does. A grant names the version of the cluster that the leader knew; it counts only for a
//! holder whose own view is as new, so that nobody acts for long on shards that he does not know he lost.
//!
//! Instants are compared and nothing else: a process that was stopped finds its lease run out when it wakes, if the
//! clock that it is given went on meanwhile.

mod grantor;
mod holder;
#[cfg(test)]
mod tests;

pub use grantor::{Answer, Denial, Grantor};
pub use holder::{Effect, Holder, Input};
