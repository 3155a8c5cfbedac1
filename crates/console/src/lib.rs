//! HTTP for operators and for machines: the API under `/api/v1`, `/metrics`, `/healthz` and `/readyz`.
//!
//! It shows and asks, and decides nothing: the tables are asked through [`tables::Handle`], everything alive through a
//! [`Switchboard`] that the composition root implements. It never touches a call itself, and no call ever waits for it.

pub mod api;
mod auth;
mod connection;
mod error;
mod explain;
mod imports;
mod openapi;
mod problem;
mod process;
mod recorder;
mod request;
mod routes;
mod sample;
mod server;
mod switchboard;
mod time;

pub use auth::{Scope, Token};
pub use error::Error;
pub use imports::{Import, ImportOf, Progress, Upload};
pub use problem::Problem;
pub use recorder::Recorder;
pub use sample::Sample;
pub use server::{Console, Listener, Options};
pub use switchboard::{Answer, Switchboard};
pub use time::{parse_time, show_time};
