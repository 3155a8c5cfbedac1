//! What must hold of everything that the switch sends, whichever node sends it: CSeq numbers rise in each dialog, and so do
//! the versions of each session description.

use sip::{Message, Method};
use std::collections::{HashMap, HashSet};

/// Remembers what was sent.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Of each dialog as its peer knows it: the greatest number of a request.
    numbers: HashMap<String, u32>,
    /// Branches of requests that were sent: what has one of them is sent again.
    branches: HashSet<String>,
    /// Of each session: every version with its body.
    sessions: HashMap<String, Vec<(u64, Vec<u8>)>>,
    /// What did not hold.
    pub faults: Vec<String>,
}

impl Wire {
    /// Takes note of a message.
    pub fn note(&mut self, message: &Message) {
        self.note_number(message);
        self.note_version(message);
    }

    fn note_number(&mut self, message: &Message) {
        let method = message.method();
        if !message.is_request() || matches!(method, Method::Ack | Method::Cancel) {
            return;
        }
        let (Some(cseq), Some(via)) = (message.cseq(), message.top_via()) else { return };
        if !self.branches.insert(format!("{} {}", via.branch(), via.host)) {
            return;
        }
        // An INVITE that opens a dialog stands for all dialogs that come of it.
        let opening = format!("{} {} ", message.call_id(), message.from_tag().unwrap_or(""));
        let key = format!("{opening}{}", message.to_tag().unwrap_or(""));
        let last = self.numbers.get(&key).or_else(|| self.numbers.get(&opening)).copied().unwrap_or(0);
        if cseq.number <= last {
            self.fault(format!("{} has CSeq {} after {last}", method.token(), cseq.number));
        }
        self.numbers.insert(key, cseq.number);
    }

    fn note_version(&mut self, message: &Message) {
        let Some(body) = message.sdp() else { return };
        let text = String::from_utf8_lossy(&body).into_owned();
        let Some(origin) = text.lines().find_map(|line| line.strip_prefix("o=tandem ")) else { return };
        let mut words = origin.split(' ');
        let (Some(id), Some(version)) = (words.next(), words.next().and_then(|version| version.parse().ok())) else {
            return self.fault(format!("o= cannot be read: {origin}"));
        };
        let said = self.sessions.entry(id.to_owned()).or_default();
        let known = said.iter().find(|(other, _)| *other == version).map(|(_, other)| other[..] == body[..]);
        let last = said.iter().map(|(version, _)| *version).max().unwrap_or(0);
        match known {
            Some(true) => {}
            Some(false) => self.fault(format!("session {id} says two things in version {version}")),
            None if version < last => self.fault(format!("session {id} goes back from version {last} to {version}")),
            None => said.push((version, body.to_vec())),
        }
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }
}
