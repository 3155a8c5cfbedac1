//! The console over a real socket, with real tables and a switchboard of one call.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod access;
mod cluster;
mod house;
mod imports;
mod live;
mod rude;
mod stop;
mod tables;
