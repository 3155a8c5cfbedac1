//! The switch: actors around the pure cores, and everything that touches the network.
//!
//! What it may never do: decide what SIP, routing or a call decides (those are pure crates below), or keep per-call state
//! in the tables. [`node::Node`] is the way in.

pub mod alarm;
pub mod calls;
pub mod cdr;
mod clients;
pub mod clock;
pub mod cluster;
mod counters;
mod data_dir;
mod dispatch;
mod door;
mod ending;
pub mod error;
mod gate;
pub mod hep;
pub mod ladder;
mod media;
pub mod node;
pub mod otlp;
pub mod protect;
pub mod registrations;
mod resolver;
pub mod shell;
pub mod stall;
pub mod transport;
pub mod trunks;

pub use error::Error;
pub use node::{Node, Options, Shelves, Surroundings};
pub use supervise;
