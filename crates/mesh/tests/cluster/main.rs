//! Whole clusters in one process: real tables, real gRPC, in-memory connections and virtual time; TLS and TCP where it
//! is about them.

mod entry;
mod faults;
mod lab;
mod parcels;
mod placement;
mod tls;
mod wire;
