//! A whole node on the loopback: real sockets, real disk, and peers that speak SIP by hand.

mod bench;
mod carriers;
mod failing_call;
mod failover;
mod gauges;
mod lingering;
mod logged;
mod names;
mod phones;
