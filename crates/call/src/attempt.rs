//! Attempts: the order of trying, how one fails, and what follows from it.

use crate::core::{Core, Env};
use crate::input::{Hop, Refused};
use crate::note::Note;
use routing::model::{Egress, Trunk};
use routing::{Attempt, Target};
use sip::clock::Now;
use sip::session_timer::Policy;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use trunk::Failure;

/// What is left to try.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    pub(crate) attempts: VecDeque<Attempt>,
    /// How many were begun.
    pub(crate) made: u32,
    /// How many redirections were followed.
    pub(crate) redirects: u32,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) plan: Attempt,
    /// Where it can be sent, best first; the first is in use.
    pub(crate) hops: VecDeque<Hop>,
    /// When its INVITE went out, or for the first attempt when the caller's came.
    pub(crate) started: Now,
    pub(crate) ringing: Option<Now>,
    pub(crate) caller_out: Arc<str>,
    pub(crate) called_out: Arc<str>,
    pub(crate) call_id: Arc<str>,
    /// Our tag in its dialogs.
    pub(crate) tag: Arc<str>,
    /// The INVITE's client transaction.
    pub(crate) client: u32,
    /// The CSeq of its INVITE.
    pub(crate) seq: u32,
    /// Our wishes for its session timer.
    pub(crate) session: Policy,
    /// Whether we ask for a session timer on our own account.
    pub(crate) asks_session: bool,
    /// A challenge of the carrier was answered; the header and its value.
    pub(crate) credentials: Option<(sip::Name, String)>,
    /// A 422 was heeded.
    pub(crate) raised: bool,
}

impl Core {
    /// Begins the next attempt of the route, if one is left: its channel is asked for.
    pub(crate) fn begin_attempt(&mut self, env: &Env<'_>) -> Option<Try> {
        let route = self.route.as_mut()?;
        if route.made >= env.settings.max_attempts {
            return None;
        }
        let plan = route.attempts.pop_front()?;
        route.made += 1;
        self.attempts += 1;
        let number = self.attempts;
        let seed = self.chance.next();
        self.note(Note::attempt(number, &plan));
        self.ledger.seize(&mut self.out, number, plan.target.clone(), seed);
        Some(Try::new(number, plan, env.now))
    }
}

/// The name of a target's trunk; empty for a line.
pub(crate) fn trunk_of(target: &Target) -> Option<&Arc<Trunk>> {
    match target {
        Target::Trunk(trunk) | Target::Registered(trunk) => Some(trunk),
        Target::User(_) => None,
    }
}

/// Whose the target is.
pub(crate) fn account_of(target: &Target) -> Arc<str> {
    let account = match target {
        Target::Trunk(trunk) | Target::Registered(trunk) => trunk.account.clone(),
        Target::User(user) => user.account.clone(),
    };
    account.unwrap_or_else(|| Arc::from(""))
}

impl Try {
    /// An attempt whose channel was not seized yet.
    pub(crate) fn new(number: u32, plan: Attempt, started: Now) -> Self {
        Self {
            number,
            plan,
            hops: VecDeque::new(),
            started,
            ringing: None,
            caller_out: Arc::default(),
            called_out: Arc::default(),
            call_id: Arc::default(),
            tag: Arc::default(),
            client: 0,
            seq: 1,
            session: Policy::default(),
            asks_session: false,
            credentials: None,
            raised: false,
        }
    }

    /// The name under which metrics count it.
    pub(crate) fn metric(&self) -> Arc<str> {
        trunk_of(&self.plan.target).map_or_else(|| Arc::from("user"), |trunk| trunk.name.clone())
    }

    /// How it treats calls, where it is a trunk.
    pub(crate) fn egress(&self) -> Option<&Egress> {
        trunk_of(&self.plan.target).and_then(|trunk| trunk.egress.as_ref())
    }

    /// The gateway in use, for its health.
    pub(crate) fn gateway(&self) -> Option<Arc<str>> {
        self.hops.front().and_then(|hop| hop.gateway.clone())
    }

    /// Takes the places where it can be sent.
    pub(crate) fn set_hops(&mut self, hops: SmallVec<[Hop; 1]>) {
        self.hops = hops.into_iter().collect();
    }

    /// Whether a failure leads to the next attempt rather than to the caller.
    pub(crate) fn reroutes(&self, failure: Failure, next: &Attempt) -> bool {
        // `on_failure` of a number stands in for one that does not answer or is not there.
        let stands_in = next.forwarded_by.is_some() && self.plan.forwarded_by.is_none();
        if stands_in && matches!(failure.code(), 408 | 480 | 404 | 410 | 500..=599) {
            return true;
        }
        let default = Egress::default();
        failure.reroutes(&self.egress().unwrap_or(&default).reroute)
    }
}

/// The failure that a refusal to take the call stands for.
pub(crate) const fn failure_of(refused: Refused) -> Failure {
    match refused {
        Refused::Channels | Refused::Rate | Refused::NoLeader => Failure::Capacity,
        Refused::NotRegistered => Failure::Response { code: 480, q850: Some(20) },
        Refused::Unresolvable => Failure::Transport,
        Refused::Gone => Failure::Response { code: 503, q850: Some(38) },
    }
}

/// What the record says of it.
pub(crate) const fn reason_of(refused: Refused) -> &'static str {
    match refused {
        Refused::Channels | Refused::Rate => Failure::Capacity.reject().reason,
        Refused::NoLeader => "the trunk's limits cannot be asked",
        Refused::NotRegistered => "not registered",
        Refused::Unresolvable => Failure::Transport.reject().reason,
        Refused::Gone => "trunk or user is gone",
    }
}
