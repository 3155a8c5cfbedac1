//! The rows of the tables as the switch knows them, one file a table.
//!
//! The names of the fields are the keys that an operator writes. Nothing here reads or writes TOML (see `document` and
//! `export`); serde is plain, so that any format, a self-describing one or not, holds a row.

mod account;
mod deck;
mod number;
mod plan;
mod screen;
mod trunk;
mod user;
mod word;

pub use account::{Account, Billing, Currency};
pub use deck::{Deck, Price, Rate};
pub use number::{Destination, Number, Ported};
pub use plan::{Order, PlanHead, Route, RouteTrunk};
pub use screen::{Emergency, Screen};
pub(crate) use trunk::split_host_port;
pub use trunk::{
    CallerPolicy, Cidr, Egress, Gateway, Ingress, Media, Redirect, Referral, Registration, Srtp, Transport, Trunk,
    WithoutLeader,
};
pub use user::User;
pub(crate) use word::{check_words, is_name, words};

use std::sync::Arc;

/// The name of a row: short text that many rows share.
pub type Name = Arc<str>;
