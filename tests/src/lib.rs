//! Starts nodes and foreign user agents for the integration tests, and reads what they leave behind.
//!
//! It starts, steers and reads processes, and speaks SIP as a partner at most, never for the node: what a test sees is what
//! a partner would see. Everything lives on 127.x.y.z and in a temporary folder of its own, so tests run side by side.

pub mod agent;
pub mod audio;
pub mod baresip;
pub mod capture;
pub mod cdr;
pub mod cluster;
pub mod datagram;
pub mod lab;
pub mod node;
pub mod pjsua;
pub mod process;
pub mod shuffle;
pub mod sipp;
pub mod tables;
pub mod traces;

pub use agent::Agent;
pub use baresip::Baresip;
pub use cdr::Cdr;
pub use cluster::Cluster;
pub use lab::Lab;
pub use node::Node;
pub use sipp::Sipp;
