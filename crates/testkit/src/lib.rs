//! A whole call in virtual time: two user agents, a network that loses, delays, repeats and reorders, and the switch's
//! call between them. Everything follows from a seed; nothing here sleeps, opens a socket or reads a clock.

pub mod agent;
pub mod linear;
pub mod net;
pub mod node;
pub mod play;
pub mod tables;
pub mod wire;
pub mod world;

pub use agent::{Agent, Script};
pub use net::{Faults, Net};
pub use node::Node;
pub use play::{Play, play};
pub use world::World;
