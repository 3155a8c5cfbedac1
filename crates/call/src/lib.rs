//! One call as a pure state machine of two legs: a back-to-back user agent.
//!
//! [`Call`] owns its transactions, dialogs and timers. What happens comes in as [`Input`], what is to be done comes out as
//! [`Effect`], in order. It never opens a socket, reads a clock, draws a random number or asks for anything but by effects.

pub mod effect;
pub mod id;
pub mod input;
pub mod note;
pub mod record;

mod admission;
mod attempt;
mod body;
mod call;
mod caller;
mod chance;
mod checkpoint;
mod context;
mod core;
mod egress;
mod error;
mod event;
mod fork;
mod forward;
mod headers;
mod ingress;
mod intake;
mod ledger;
mod leg;
mod media;
mod orphan;
mod parting;
mod provisional;
mod pursuit;
mod records;
mod redirect;
mod refer;
mod rejoin;
mod relocation;
mod resumption;
mod revival;
mod settings;
mod state;
mod subscription;
mod summary;
mod takeover;
mod timers;
mod transactions;
mod transfer;

pub use call::Call;
pub use checkpoint::Checkpoint;
pub use context::{Context, Local, Locals};
pub use effect::Effect;
pub use error::Error;
pub use id::CallId;
pub use input::Input;
pub use note::Note;
pub use settings::{Settings, UnknownSource};
pub use summary::Summary;
