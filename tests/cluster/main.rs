//! Several nodes as real processes: they form a cluster, change their tables anywhere, and outlive what breaks.

mod faults;
mod forming;
mod harness;
mod tables;
mod views;
