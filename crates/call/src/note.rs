//! What a call has decided, and why: for whoever asks afterwards how it went. Nothing follows from a note.

use crate::caller::Source;
use routing::{Attempt, Target};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One decision. Names of trunks, lines and plans are those of the tables as they were then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Note {
    /// It is known who sends the call.
    Recognised {
        /// Who.
        from: Party,
        /// By what.
        by: By,
    },
    /// Nobody knows who sends it, or it may not: the caller hears this code.
    TurnedAway {
        /// The final status; 401 asks for a digest, 0 is silence.
        code: u16,
    },
    /// The plan: what may be tried.
    Planned {
        /// How many attempts stand in it.
        attempts: u32,
        /// The routing number of a ported one; empty if there is none.
        lrn: Arc<str>,
        /// It passes whatever limits there are.
        emergency: bool,
    },
    /// An attempt begins: a channel is asked for.
    Attempt {
        /// From 1.
        number: u32,
        /// Where to.
        to: Party,
        /// The plan that chose it; absent when a number leads there itself.
        plan: Option<Arc<str>>,
        /// The prefix of that plan that matched.
        prefix: Box<str>,
        /// The number of ours whose `on_failure`, or whose destination, leads there; empty if none does.
        forwarded_by: Box<str>,
    },
    /// An INVITE of an attempt goes out.
    Calling {
        /// Which attempt.
        attempt: u32,
        /// The gateway as the tables name it; absent for a registered contact.
        gateway: Option<Arc<str>>,
    },
}

/// Who sends a call or takes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Party {
    /// A trunk, at its gateways.
    Trunk(Arc<str>),
    /// A trunk, where it has registered with us.
    Registered(Arc<str>),
    /// A line.
    Line(Arc<str>),
}

/// By what the sender of a call was recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum By {
    /// Its source address.
    Address,
    /// Its source address, which several trunks share, and the tech prefix that it dialled.
    TechPrefix,
    /// Its digest.
    Digest,
}

impl Party {
    pub(crate) fn of(source: &Source) -> Self {
        match source {
            Source::Trunk(trunk) => Self::Trunk(trunk.name.clone()),
            Source::User(user) => Self::Line(user.name.clone()),
        }
    }

    pub(crate) fn at(target: &Target) -> Self {
        match target {
            Target::Trunk(trunk) => Self::Trunk(trunk.name.clone()),
            Target::Registered(trunk) => Self::Registered(trunk.name.clone()),
            Target::User(user) => Self::Line(user.name.clone()),
        }
    }
}

impl Note {
    pub(crate) fn attempt(number: u32, plan: &Attempt) -> Self {
        Self::Attempt {
            number,
            to: Party::at(&plan.target),
            plan: plan.plan.clone(),
            prefix: plan.prefix.to_string().into(),
            forwarded_by: plan.forwarded_by.as_ref().map_or_else(Box::default, |row| row.number.to_string().into()),
        }
    }
}
