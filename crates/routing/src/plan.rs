//! The planning of a call: from the called number to an ordered list of attempts, with the reason for each.

mod order;
mod planner;

pub(crate) use planner::{MAX_CHAIN, plan};

use crate::digits::{E164, Prefix};
use crate::model::{Destination, Name, Number, Trunk, User};
use sip::clock::Wall;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A partner.
    Trunk(&'a Trunk),
    /// A line.
    User(&'a User),
}

/// A call to plan.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who calls.
    pub origin: Origin<'a>,
    /// An international number (its `+` may be missing), an emergency number, `urn:service:sos`, or the name of a user of the
    /// same account. A tech prefix must be stripped before.
    pub called: &'a str,
    /// The number that the caller shows; may be empty.
    pub caller: &'a str,
    /// When, for opening hours.
    pub at: Wall,
    /// Decides between trunks of equal priority.
    pub seed: u64,
    /// Whether [`Plan::candidates`] is filled.
    pub explain: bool,
}

/// What to try, in order. Never empty.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order of trying.
    pub attempts: SmallVec<[Attempt; 4]>,
    /// The routing number of a ported number.
    pub lrn: Option<E164>,
    /// The number of ours that was called.
    pub number: Option<Arc<Number>>,
    /// Whether it is an emergency call: it passes whatever limits there are.
    pub emergency: bool,
    /// For `route` only: every trunk looked at, and what became of it.
    pub candidates: Vec<Candidate>,
}

/// Where an attempt goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// To the gateways of a trunk.
    Trunk(Arc<Trunk>),
    /// To the contact that a trunk registered with us.
    Registered(Arc<Trunk>),
    /// To the contacts of a line.
    User(Arc<User>),
}

impl Target {
    /// Whether both lead to the same place.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Trunk(a), Self::Trunk(b)) | (Self::Registered(a), Self::Registered(b)) => a.name == b.name,
            (Self::User(a), Self::User(b)) => a.name == b.name,
            (Self::Trunk(_) | Self::Registered(_) | Self::User(_), _) => false,
        }
    }

    /// The trunk, if it is one.
    #[must_use]
    pub const fn trunk(&self) -> Option<&Arc<Trunk>> {
        match self {
            Self::Trunk(trunk) | Self::Registered(trunk) => Some(trunk),
            Self::User(_) => None,
        }
    }
}

/// As messages name it: `trunk alpha`, `registered acme-pbx`, `user alice`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trunk(trunk) => write!(f, "trunk {}", trunk.name),
            Self::Registered(trunk) => write!(f, "registered {}", trunk.name),
            Self::User(user) => write!(f, "user {}", user.name),
        }
    }
}

/// One thing to try.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Where to.
    pub target: Target,
    /// The number to call there, with its `+` if it is an international one; without the trunk's tech prefix.
    pub called: Arc<str>,
    /// The plan that chose it; absent when a number leads there itself.
    pub plan: Option<Name>,
    /// The prefix of that plan that matched.
    pub prefix: Prefix,
    /// How long it may ring, before the next attempt.
    pub ring_seconds: Option<u32>,
    /// The number of ours that leads the call here, so that its account pays for a call that leaves again.
    pub forwarded_by: Option<Arc<Number>>,
}

/// A trunk or line that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `trunk alpha`, `user alice`, `plan retail`.
    pub what: String,
    /// The plan and prefix that led here.
    pub by: String,
    /// Whether it is tried.
    pub kept: bool,
    /// Why.
    pub why: String,
}

/// Why a call cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No prefix of the plan matches, or no trunk of those that match is left.
    #[error("no route to the called number")]
    NoRoute,
    /// The origin has no plan, and the number is not ours.
    #[error("no plan for calls from here")]
    NoPlan,
    /// The called part is neither a number nor a user's name.
    #[error("unknown number or user")]
    UnknownNumber,
    /// `allow`, `deny` or a screen forbids the called number.
    #[error("destination not allowed ({0})")]
    DeniedCalled(&'static str),
    /// A screen forbids the caller.
    #[error("caller not allowed")]
    DeniedCaller,
    /// Numbers lead to each other in a circle, or in a chain longer than eight.
    #[error("numbers forward in a circle")]
    Loop,
}

impl Refusal {
    /// The final response (RFC 3261 §21).
    #[must_use]
    pub const fn sip_code(&self) -> u16 {
        match self {
            Self::NoRoute | Self::NoPlan | Self::UnknownNumber => 404,
            Self::DeniedCalled(_) | Self::DeniedCaller => 403,
            Self::Loop => 482,
        }
    }

    /// The cause (Q.850 §2.2.7).
    #[must_use]
    pub const fn q850(&self) -> u8 {
        match self {
            Self::NoRoute | Self::NoPlan => 3,
            Self::UnknownNumber => 1,
            Self::DeniedCalled(_) | Self::DeniedCaller => 21,
            Self::Loop => 25,
        }
    }
}

impl Plan {
    /// The `on_failure` of the number that was called.
    #[must_use]
    pub fn on_failure(&self) -> Option<&Destination> {
        self.number.as_ref()?.on_failure.as_ref()
    }
}
