//! Whose turn it is, for what is logged in it: each line of a turn stands in a span of its call.
//!
//! With a subscriber that knows nothing of calls, each has one span, made with its first turn and entered in every one. To enter a span costs
//! memory that has gone cold, several times a turn, and almost no turn logs anything: a subscriber that calls [`told_by_line`] asks
//! [`turn`] when there is a line, and makes the span then.

use ::call::CallId;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Span;
use tracing::span::Entered;

thread_local! {
    static TURN: Cell<Option<CallId>> = const { Cell::new(None) };
}
static BY_LINE: AtomicBool = AtomicBool::new(false);

/// From now on calls make no spans: the subscriber of this process sees to that.
pub fn told_by_line() {
    BY_LINE.store(true, Ordering::Relaxed);
}

/// The call whose turn this thread takes, where calls make no spans.
#[must_use]
pub fn turn() -> Option<CallId> {
    TURN.get()
}

/// The span of a call, in no other one. It is wanted by whoever wants any line at all.
fn of(id: CallId) -> Span {
    tracing::error_span!(parent: None, "call", call = %id)
}

/// A turn of a call, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    before: Option<CallId>,
}

impl Turn {
    /// Begins it on this thread.
    #[must_use]
    pub fn of(id: CallId) -> Self {
        Self { before: TURN.replace(Some(id)) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURN.set(self.before);
    }
}

/// A turn, either way.
#[expect(dead_code, reason = "what is in it ends as it is dropped")]
pub(super) enum Within<'a> {
    Span(Entered<'a>),
    Named(Turn),
}

/// Begins a turn of this call, whose span, if it has one, is kept there.
pub(super) fn enter(span: &mut Option<Span>, id: CallId) -> Within<'_> {
    if BY_LINE.load(Ordering::Relaxed) {
        return Within::Named(Turn::of(id));
    }
    Within::Span(span.get_or_insert_with(|| of(id)).enter())
}
