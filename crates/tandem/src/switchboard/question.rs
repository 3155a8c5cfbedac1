//! What nodes ask each other about what is alive on them: JSON that says what it is, with a version.
//!
//! Fields that are not known are ignored and a question that is not known is refused, so a node of another release is
//! understood as far as can be. The rows are those of the API. Nothing here asks or answers.

use console::api;
use serde::{Deserialize, Serialize};

/// The version that this release speaks. It rises only when something that is there changes its meaning.
const VERSION: u32 = 1;

/// Bytes of the rows of one answer: it shares its way with other parcels, which may not wait long for it, and must stay far
/// below what a parcel holds.
pub(super) const PAGE_BYTES: usize = 256 << 10;

/// Addresses of record in one question.
pub(super) const AORS: usize = 1000;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Question {
    /// What the node says of itself.
    Node,
    /// Its calls by id.
    Calls {
        /// From or to this trunk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trunk: Option<String>,
        /// Only those after this id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One call, live or ended, as far as the node knows it.
    Call {
        /// Its id.
        id: String,
        /// With the text of its messages.
        #[serde(default)]
        messages: bool,
    },
    /// To end a call.
    Hangup {
        /// Its id.
        id: String,
    },
    /// Its trunks by name.
    Trunks {
        /// Only those after this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The registrations of its shards by address of record.
    Registrations {
        /// Only those after this address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Which of these are registered, as far as it has them.
    Registered {
        /// Addresses of record, at most [`AORS`].
        aors: Vec<String>,
    },
    /// The node will be removed: its records are to be where they can be taken over.
    Leave,
}

/// What is answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(super) enum Answer {
    /// To [`Question::Node`].
    Node {
        /// The node.
        node: api::Node,
    },
    /// To [`Question::Calls`].
    Calls(Page<api::Call>),
    /// To [`Question::Call`].
    Call {
        /// The call, if it is there.
        #[serde(default)]
        call: Option<Box<api::Call>>,
    },
    /// To [`Question::Hangup`].
    Hangup {
        /// It was there, and is being ended.
        found: bool,
    },
    /// To [`Question::Trunks`].
    Trunks(Page<api::Trunk>),
    /// To [`Question::Registrations`].
    Registrations(Page<api::Registration>),
    /// To [`Question::Registered`].
    Registered {
        /// Those that are.
        aors: Vec<String>,
    },
    /// To [`Question::Leave`].
    Leave {
        /// Another node has all of its records.
        ready: bool,
    },
    /// To anything.
    Refused {
        /// Why, in words that follow a node's name.
        why: String,
    },
}

/// Some rows of a listing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Page<T> {
    /// In order.
    pub rows: Vec<T>,
    /// There may be more, after this.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn none() -> Option<String> {
    None
}

/// What stands around a question and an answer.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    what: T,
}

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// # Errors
    /// Why it cannot be answered, for the one who asks.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        decode(bytes).ok_or("does not know the question")
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }

    pub(super) fn refused(why: &str) -> Self {
        Self::Refused { why: why.to_owned() }
    }
}

impl<T: Serialize> Page<T> {
    /// Takes rows, each with what a next page would begin after, until they are too many or too large together. One row
    /// always fits: no row is larger than a SIP message. `more`: there are others after all of these.
    pub(super) fn fill(rows: impl IntoIterator<Item = (String, T)>, limit: usize, bytes: usize, more: bool) -> Self {
        let mut page = Self { rows: Vec::new(), next: None };
        let (mut size, mut last) = (0, None);
        for (key, row) in rows {
            size += serde_json::to_vec(&row).map_or(0, |written| written.len() + 1);
            if page.rows.len() == limit || (size > bytes && !page.rows.is_empty()) {
                page.next = last;
                return page;
            }
            page.rows.push(row);
            last = Some(key);
        }
        page.next = last.filter(|_| more);
        page
    }
}

fn encode<T: Serialize>(what: &T) -> Vec<u8> {
    // Plain rows with names for keys can always be written.
    serde_json::to_vec(&Versioned { version: VERSION, what }).expect("a question or an answer can always be written")
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let read: Versioned<T> = serde_json::from_slice(bytes).ok()?;
    (read.version <= VERSION).then_some(read.what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn questions_stand_on_the_wire_as_other_releases_read_them() {
        let calls = Question::Calls { trunk: Some("alpha".into()), after: None, limit: 5 };
        let written: Value = serde_json::from_slice(&calls.encode()).expect("JSON");
        assert_eq!(written, json!({ "version": 1, "ask": "calls", "trunk": "alpha", "limit": 5 }));
        let all = [
            calls,
            Question::Node,
            Question::Leave,
            Question::Call { id: "1.2.3".into(), messages: true },
            Question::Hangup { id: "1.2.3".into() },
            Question::Trunks { after: Some("a".into()) },
            Question::Registrations { after: None, limit: 7 },
            Question::Registered { aors: vec!["sip:a@user.invalid".into()] },
        ];
        all.iter().for_each(|one| assert_eq!(Question::decode(&one.encode()).as_ref(), Ok(one)));
    }

    #[test]
    fn answers_read_back() {
        let call = api::Call { id: "1.2.3".into(), site: "fra".into(), ..api::Call::default() };
        let node = api::Node { rtt_ms: Some(1.5), calls: Some(3), ..api::Node::default() };
        let all = [
            Answer::Node { node },
            Answer::Calls(Page { rows: vec![call.clone()], next: Some("1.2.3".into()) }),
            Answer::Call { call: Some(Box::new(call)) },
            Answer::Call { call: None },
            Answer::Hangup { found: true },
            Answer::Leave { ready: true },
            Answer::Trunks(Page { rows: vec![api::Trunk::default()], next: None }),
            Answer::Registrations(Page { rows: vec![api::Registration::default()], next: None }),
            Answer::Registered { aors: vec!["a".into()] },
            Answer::refused("is busy"),
        ];
        all.iter().for_each(|one| assert_eq!(Answer::decode(&one.encode()).as_ref(), Some(one)));
    }

    #[test]
    fn what_a_newer_release_adds_is_ignored_and_what_it_changes_is_refused() {
        let newer = br#"{"version":1,"ask":"trunks","after":"a","sorted":true}"#;
        assert_eq!(Question::decode(newer), Ok(Question::Trunks { after: Some("a".into()) }));
        let call = Question::Call { id: "1.2.3".into(), messages: false };
        assert_eq!(Question::decode(br#"{"version":1,"ask":"call","id":"1.2.3"}"#), Ok(call), "as an older one asks");
        assert!(Question::decode(br#"{"version":1,"ask":"weather"}"#).is_err());
        assert!(Question::decode(br#"{"version":2,"ask":"node"}"#).is_err());
        assert!(Question::decode(b"{").is_err() && Question::decode(b"").is_err());
        let older = br#"{"version":1,"tell":"node","node":{"name":"n","site":"s","state":"up","calls":3}}"#;
        let node = api::Node { name: "n".into(), site: "s".into(), state: "up".into(), ..api::Node::default() };
        assert_eq!(Answer::decode(older), Some(Answer::Node { node: api::Node { calls: Some(3), ..node } }));
    }

    #[test]
    fn a_page_ends_where_it_is_full_and_says_so() {
        let rows = || (0..10).map(|number: u32| (number.to_string(), "x".repeat(98)));
        let all = |page: &Page<String>| (page.rows.len(), page.next.clone());
        assert_eq!(all(&Page::fill(rows(), 100, 1 << 20, false)), (10, None));
        assert_eq!(all(&Page::fill(rows(), 10, 1 << 20, false)), (10, None));
        assert_eq!(all(&Page::fill(rows(), 10, 1 << 20, true)), (10, Some("9".into())));
        assert_eq!(all(&Page::fill(rows(), 4, 1 << 20, false)), (4, Some("3".into())), "by rows");
        assert_eq!(all(&Page::fill(rows(), 100, 303, false)), (3, Some("2".into())), "by bytes");
        assert_eq!(all(&Page::fill(rows(), 100, 1, false)), (1, Some("0".into())), "one always fits");
        assert_eq!(all(&Page::fill(std::iter::empty(), 100, 1, true)), (0, None));
    }
}
