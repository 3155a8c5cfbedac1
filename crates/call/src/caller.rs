//! Who calls and whom, as admission found out. It stays with the call to its end, so it is small.

use crate::admission;
use crate::core::Env;
use crate::headers::TRANSPARENT_OPTIONS;
use crate::leg::is_natted;
use crate::media::Codecs;
use routing::model::{Trunk, User};
use sip::clock::Wall;
use sip::session_timer::Policy;
use sip::{Flow, Message, Name};
use smallvec::SmallVec;
use std::sync::Arc;
use trunk::Identity;

/// The origin of a call.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A partner.
    Trunk(Arc<Trunk>),
    /// A line.
    User(Arc<User>),
}

impl Source {
    /// The trunk, if it is one.
    pub(crate) fn trunk(&self) -> Option<&Arc<Trunk>> {
        match self {
            Self::Trunk(trunk) => Some(trunk),
            Self::User(_) => None,
        }
    }

    /// The trunk's name for the record; empty for a line.
    pub(crate) fn trunk_name(&self) -> Arc<str> {
        self.trunk().map_or_else(|| Arc::from(""), |trunk| trunk.name.clone())
    }

    /// The name under which metrics count it.
    pub(crate) fn metric(&self) -> Arc<str> {
        self.trunk().map_or_else(|| Arc::from("user"), |trunk| trunk.name.clone())
    }

    /// Whose it is.
    pub(crate) fn account(&self) -> Arc<str> {
        let account = match self {
            Self::Trunk(trunk) => trunk.account.clone(),
            Self::User(user) => user.account.clone(),
        };
        account.unwrap_or_else(|| Arc::from(""))
    }
}

/// The codecs that a trunk allows.
pub(crate) fn codecs_of(trunk: Option<&Trunk>) -> Codecs {
    let codecs = &trunk?.codecs;
    (!codecs.is_empty()).then(|| codecs.iter().map(|name| Arc::from(name.as_str())).collect())
}

/// The caller's side of a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) source: Source,
    /// The INVITE's server transaction.
    pub(crate) server: u32,
    /// How the INVITE came.
    pub(crate) flow: Flow,
    /// Behind NAT or on a connection: requests go back along `flow`.
    pub(crate) pinned: bool,
    pub(crate) started: Wall,
    pub(crate) caller_in: Arc<str>,
    pub(crate) called_in: Arc<str>,
    /// The called number as the switch writes it.
    pub(crate) called: Box<str>,
    /// What is shown onwards.
    pub(crate) identity: Identity,
    pub(crate) lrn: Arc<str>,
    pub(crate) call_id: Arc<str>,
    /// Our tag towards the caller, unless a further fork needs one of its own.
    pub(crate) tag: Arc<str>,
    /// Options that it supports and that work through us.
    pub(crate) options: SmallVec<[&'static str; 2]>,
    /// Those that it requires.
    pub(crate) required: SmallVec<[&'static str; 1]>,
    /// Our wishes for its session timer; absent: none, unless it asks.
    pub(crate) session: Option<Policy>,
    pub(crate) codecs: Codecs,
    pub(crate) emergency: bool,
    /// It asked for privacy, which holds for everybody that it is joined with later.
    pub(crate) hidden: bool,
    /// Tags of ours under which a former node has told it of early dialogs.
    pub(crate) told: Box<[Box<str>]>,
}

impl Caller {
    /// As its INVITE describes it.
    pub(crate) fn of_invite(
        env: &Env<'_>,
        source: Source,
        server: u32,
        invite: &Message,
        flow: &Flow,
        tag: Arc<str>,
    ) -> Self {
        let dialled = admission::dialled(invite).unwrap_or_default();
        let called = admission::called(&source, &dialled);
        let (caller_in, identity) = admission::identity(env, &source, invite);
        let seconds = source.trunk().map_or(env.settings.session_expires, |trunk| trunk.session_expires);
        let options = |name| -> SmallVec<[&'static str; 2]> {
            let known = |tag: &str| TRANSPARENT_OPTIONS.into_iter().find(|option| option.eq_ignore_ascii_case(tag));
            invite.values(name).filter_map(known).collect()
        };
        let required: SmallVec<[&'static str; 2]> = options(Name::Require);
        let mut supported = options(Name::Supported);
        for tag in &required {
            if !supported.contains(tag) {
                supported.push(tag);
            }
        }
        Self {
            codecs: codecs_of(source.trunk().map(|trunk| &**trunk)),
            pinned: flow.transport.is_reliable() || is_natted(invite, flow),
            source,
            server,
            flow: *flow,
            started: env.now.wall,
            caller_in: caller_in.into(),
            called_in: dialled.into(),
            called: called.into(),
            hidden: identity.privacy || identity.from.is_none(),
            identity,
            lrn: Arc::default(),
            call_id: invite.call_id().into(),
            tag,
            options: supported,
            required: required.into_iter().collect(),
            session: (seconds > 0).then_some(Policy { seconds, min_seconds: env.settings.min_se }),
            emergency: false,
            told: Box::default(),
        }
    }

    /// The call is answered: what only a further attempt needs goes.
    pub(crate) fn forget_setup(&mut self) {
        self.called = Box::default();
        self.identity = Identity::default();
        self.options = SmallVec::new();
        self.required = SmallVec::new();
        self.codecs = None;
        self.told = Box::default();
    }
}
