//! Makes the span of a call when there is a line to stand in it, and not with every turn ([`switch::calls::span`]): a line looks the same.
//!
//! It passes everything on to the subscriber inside, and only puts a span around an event. Who looks for that one through
//! `Dispatch::downcast_ref` does not find it; nothing here does.

use tracing_core::callsite::Callsite;
use tracing_core::field::{Value, display};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, Kind, Level, LevelFilter, Metadata, Subscriber};

/// What the span of a call is.
static SPAN: Metadata<'static> = tracing_core::metadata! {
    name: "call",
    target: "switch::calls",
    level: Level::ERROR,
    fields: &["call"],
    callsite: &Here,
    kind: Kind::SPAN
};

/// Where it is made. Nobody registers it, for no filter is asked about it: whose line is wanted is wanted with its call.
struct Here;

impl Callsite for Here {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &SPAN
    }
}

/// See the module.
pub(super) struct ByLine<S>(pub(super) S);

impl<S: Subscriber> ByLine<S> {
    /// The span of the call whose turn it is, entered; nothing outside of turns.
    fn enter_span(&self) -> Option<Id> {
        let (fields, call) = (SPAN.fields(), display(switch::calls::span::turn()?));
        let values = [(&fields.field("call")?, Some(&call as &dyn Value))];
        let id = self.0.new_span(&Attributes::new_root(&SPAN, &fields.value_set(&values)));
        self.0.enter(&id);
        Some(id)
    }
}

impl<S: Subscriber> Subscriber for ByLine<S> {
    fn event(&self, event: &Event<'_>) {
        let span = self.enter_span();
        self.0.event(event);
        if let Some(id) = span {
            self.0.exit(&id);
            self.0.try_close(id);
        }
    }

    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.0.on_register_dispatch(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.record_follows_from(span, follows);
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.0.event_enabled(event)
    }

    fn enter(&self, span: &Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.0.current_span()
    }
}

#[cfg(test)]
mod tests;
