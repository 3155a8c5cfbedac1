//! Which leg of a call a message belongs to: found when a ladder is read, by the Call-IDs and by our own tags, so that writing
//! one costs nothing.

use super::entry::{Entry, Way, What};
use ::call::CallId;
use ::call::note::Note;
use sip::Method;
use sip::peek::Peek;
use std::collections::HashMap;

/// The leg of each Call-ID.
pub struct Legs {
    by_call_id: HashMap<Vec<u8>, String>,
}

impl Legs {
    /// Of a ladder. `attempt` is the number of the attempt that the ladder of a call which came from another node does not show.
    #[must_use]
    pub fn of<'e>(entries: impl IntoIterator<Item = &'e Entry>, attempt: u32) -> Self {
        let (mut by_call_id, mut attempt) = (HashMap::new(), attempt);
        for entry in entries {
            match &entry.what {
                What::Note(Note::Calling { attempt: number, .. }) => attempt = *number,
                What::Passed(passed) => {
                    let Some(peek) = Peek::of(&passed.bytes) else { continue };
                    if let Some(leg) = leg(&peek, passed.way, attempt) {
                        by_call_id.entry(peek.call_id().to_vec()).or_insert(leg);
                    }
                }
                What::Note(_)
                | What::Row(_)
                | What::Gateway { .. }
                | What::Heard(_)
                | What::Media(_)
                | What::Came { .. }
                | What::Went { .. }
                | What::Followed { .. } => {}
            }
        }
        Self { by_call_id }
    }

    /// `a` for the caller's, `b1`, `b2` … for those of the attempts; `?` where nothing says it.
    #[must_use]
    pub fn leg(&self, message: &[u8]) -> &str {
        let call_id = Peek::of(message).map(|peek| peek.call_id().to_vec());
        call_id.and_then(|id| self.by_call_id.get(&id)).map_or("?", String::as_str)
    }
}

/// What one message says of the leg of its Call-ID.
fn leg(peek: &Peek<'_>, way: Way, attempt: u32) -> Option<String> {
    let (is_request, is_in) = (peek.method.is_some(), way == Way::In);
    if peek.method == Some(Method::Invite) && peek.to_tag().is_empty() {
        return Some(if is_in { "a".to_owned() } else { format!("b{}", attempt.max(1)) });
    }
    // Our tag stands in From of what we ask and in To of what we answer.
    let ours = if is_request == is_in { peek.to_tag() } else { peek.from_tag() };
    CallId::in_tag(ours)?;
    let side = ours.iter().position(|b| *b == b'-').and_then(|dash| ours.get(dash + 1))?;
    match side {
        b'a' => Some("a".to_owned()),
        b'b' => Some(format!("b{}", attempt.max(1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Passed, Tick};
    use super::*;
    use bytes::Bytes;

    fn passed(way: Way, start: &str, call_id: &str, from_tag: &str, to_tag: &str) -> Entry {
        let to = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let text = format!(
            "{start}\r\nFrom: <sip:a@h>;tag={from_tag}\r\nTo: <sip:b@h>{to}\r\nCall-ID: {call_id}\r\nCSeq: 1 X\r\n\r\n"
        );
        let bytes = Bytes::from(text);
        let passed = Passed { way, hop: 0, repeats: 0, last: Tick::default(), length: 0, bytes };
        Entry { at: Tick::default(), what: What::Passed(passed) }
    }

    fn calling(attempt: u32) -> Entry {
        Entry { at: Tick::default(), what: What::Note(Note::Calling { attempt, gateway: None }) }
    }

    fn legs(entries: &[Entry], attempt: u32) -> Vec<String> {
        let legs = Legs::of(entries, attempt);
        let message = |entry: &Entry| {
            if let What::Passed(passed) = &entry.what { Some(legs.leg(&passed.bytes).to_owned()) } else { None }
        };
        entries.iter().filter_map(message).collect()
    }

    #[test]
    fn each_attempt_is_a_leg_and_what_has_no_tag_of_ours_goes_by_its_call_id() {
        let entries = [
            passed(Way::In, "INVITE sip:b@h SIP/2.0", "caller", "x", ""),
            passed(Way::Out, "SIP/2.0 100 Trying", "caller", "x", ""),
            calling(1),
            passed(Way::Out, "INVITE sip:b@h SIP/2.0", "one", "1.1.1-b7", ""),
            passed(Way::In, "SIP/2.0 503 No", "one", "1.1.1-b7", "y"),
            calling(3),
            passed(Way::Out, "INVITE sip:b@h SIP/2.0", "three", "1.1.1-b8", ""),
            passed(Way::Out, "ACK sip:b@h SIP/2.0", "one", "1.1.1-b7", "y"),
            passed(Way::In, "SIP/2.0 200 OK", "three", "1.1.1-b8", "z"),
            passed(Way::Out, "SIP/2.0 200 OK", "caller", "x", "1.1.1-a6"),
            passed(Way::In, "OPTIONS sip:h SIP/2.0", "stray", "x", ""),
        ];
        assert_eq!(legs(&entries, 0), ["a", "a", "b1", "b1", "b3", "b1", "b3", "a", "?"]);
    }

    #[test]
    fn a_call_that_came_from_another_node_has_its_legs_by_our_tags() {
        let entries = [
            passed(Way::Out, "INVITE sip:a@h SIP/2.0", "caller", "1.1.1-a6", "x"),
            passed(Way::Out, "INVITE sip:b@h SIP/2.0", "two", "1.1.1-b8", "z"),
            passed(Way::In, "BYE sip:h SIP/2.0", "two", "z", "1.1.1-b8"),
        ];
        assert_eq!(legs(&entries, 2), ["a", "b2", "b2"]);
    }
}
