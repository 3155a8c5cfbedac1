//! How shells reach an actor that may be restarted: through a door that always leads to the living one.

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, Message};
use std::sync::Arc;

/// A way to an actor, shared by all who speak to it. The actor opens it when it starts.
pub(crate) struct Door<M: Message>(Arc<ArcSwapOption<ActorRef<M>>>);

impl<M: Message> Clone for Door<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> Default for Door<M> {
    fn default() -> Self {
        Self(Arc::new(ArcSwapOption::empty()))
    }
}

impl<M: Message> Door<M> {
    /// From now on messages go to `actor`.
    pub(crate) fn open(&self, actor: ActorRef<M>) {
        self.0.store(Some(Arc::new(actor)));
    }

    /// Hands a message over; `false` if nobody lives there at the moment.
    pub(crate) fn tell(&self, message: M) -> bool {
        self.0.load().as_ref().is_some_and(|actor| actor.cast(message).is_ok())
    }

    /// The living actor.
    #[must_use]
    pub(crate) fn actor(&self) -> Option<ActorRef<M>> {
        self.0.load().as_ref().map(|actor| ActorRef::clone(actor))
    }
}
