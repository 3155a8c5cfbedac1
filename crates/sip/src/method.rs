//! Request methods.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A method that we act on; any other is [`Method::Other`] and keeps its text in the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the RFCs' own")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Prack,
    Update,
    Info,
    Message,
    Refer,
    Subscribe,
    Notify,
    Publish,
    /// An extension method; it is forwarded within a dialog or refused with 405.
    Other,
}

impl Method {
    const NAMES: [(Self, &'static str); 14] = [
        (Self::Invite, "INVITE"),
        (Self::Ack, "ACK"),
        (Self::Bye, "BYE"),
        (Self::Cancel, "CANCEL"),
        (Self::Register, "REGISTER"),
        (Self::Options, "OPTIONS"),
        (Self::Prack, "PRACK"),
        (Self::Update, "UPDATE"),
        (Self::Info, "INFO"),
        (Self::Message, "MESSAGE"),
        (Self::Refer, "REFER"),
        (Self::Subscribe, "SUBSCRIBE"),
        (Self::Notify, "NOTIFY"),
        (Self::Publish, "PUBLISH"),
    ];

    /// Reads a token; methods are case-sensitive (RFC 3261 §7.1).
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self::NAMES.iter().find(|(_, name)| name.as_bytes() == token).map_or(Self::Other, |(method, _)| *method)
    }

    /// The token; empty for [`Method::Other`], whose text only its message knows.
    #[must_use]
    pub fn token(self) -> &'static str {
        Self::NAMES.iter().find(|(method, _)| *method == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
