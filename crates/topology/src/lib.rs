//! Topologies and fault plans as data: which nodes a cluster has, and what breaks when. The demo, the tests and the
//! simulator all read the same files of `cluster/` through it.
//!
//! Text comes in, values go out: it opens no file and starts nothing. What a node.toml means beyond its names and
//! addresses is the binary's business; the rest of such a file passes through as it is.

pub mod bundled;
mod error;
mod fault;
mod node;
mod rewrite;
mod topology;

pub use error::Error;
pub use fault::{Action, Link, Plan, Step, Target};
pub use node::Node;
pub use topology::{Tables, Topology};
