//! Counters of the hot path: plain atomics, handed to the metrics recorder once a second.
//!
//! A labelled counter of the recorder costs a look-up each time; these cost one addition.

use memchr::memmem::Finder;
use sip::Method;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// To us.
    In,
    /// From us.
    Out,
}

const METHODS: [Method; 15] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Register,
    Method::Options,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Message,
    Method::Refer,
    Method::Subscribe,
    Method::Notify,
    Method::Publish,
    Method::Other,
];
/// Code 0 stands for a request; responses are 100–699.
const CODES: usize = 700;
const WAYS: usize = 2;

/// `sip_messages_total{method,code,way}`.
pub struct Messages {
    counts: Vec<AtomicU64>,
}

impl Default for Messages {
    fn default() -> Self {
        Self { counts: (0..WAYS * METHODS.len() * CODES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Messages {
    /// One more. `code` is `None` for a request.
    pub fn count(&self, way: Way, method: Method, code: Option<u16>) {
        let row = METHODS.iter().position(|m| *m == method).unwrap_or(METHODS.len() - 1);
        let index = ((way as usize) * METHODS.len() + row) * CODES + usize::from(code.unwrap_or(0)).min(CODES - 1);
        self.counts[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message that we send, from its own bytes.
    pub fn count_sent(&self, bytes: &[u8]) {
        let (method, code) = describe(bytes);
        self.count(Way::Out, method, code);
    }

    /// Hands everything to the recorder.
    pub fn publish(&self) {
        for (index, count) in self.counts.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let (rest, code) = (index / CODES, index % CODES);
                let (way, method) = (rest / METHODS.len(), METHODS[rest % METHODS.len()]);
                let way = if way == 0 { "in" } else { "out" };
                let method = if method == Method::Other { "other" } else { method.token() };
                let code = if code == 0 { String::new() } else { code.to_string() };
                metrics::counter!("tandem_sip_messages_total", "method" => method, "code" => code, "way" => way)
                    .absolute(count);
            }
        }
    }
}

/// Made once: making it takes as long as finding.
static CSEQ: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\r\nCSeq:"));

/// Method and code of a message that we built: our own CSeq line is canonical, a copied one may not be.
fn describe(bytes: &[u8]) -> (Method, Option<u16>) {
    let word = bytes.split(|b| *b == b' ').next().unwrap_or_default();
    if word != b"SIP/2.0" {
        return (Method::of(word), None);
    }
    let code = bytes.get(8..11).and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| c.parse().ok());
    let method = CSEQ.find(bytes).and_then(|at| {
        let line = bytes[at + 7..].split(|b| *b == b'\r').next()?;
        line.trim_ascii().rsplit(|b| *b == b' ').next().map(Method::of)
    });
    (method.unwrap_or(Method::Other), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_send_is_counted_by_method_and_code() {
        assert_eq!(describe(b"BYE sip:h SIP/2.0\r\n"), (Method::Bye, None));
        assert_eq!(describe(b"SIP/2.0 180 Ringing\r\nVia: x\r\nCSeq: 1 INVITE\r\n\r\n"), (Method::Invite, Some(180)));
    }
}
