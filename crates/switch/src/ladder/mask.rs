//! Blanks what must not be kept of a message: the proof in Authorization and Proxy-Authorization, and the keys of SRTP in a
//! description. Lengths stay, so that a message still is what Content-Length says.
//!
//! Whoever has the response to a challenge can try passwords against it without asking anybody.

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr2_iter};
use std::sync::LazyLock;

/// What stands in the place of each byte that is hidden.
const BLANK: u8 = b'x';
/// Headers that carry a proof.
const SECRET: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];
/// Before a key (RFC 4568 §9.1).
const INLINE: &[u8] = b"inline:";
const KEY_LINE: &[u8] = b"a=crypto:";

/// A copy of the message without its secrets; nothing if it has none.
pub(super) fn masked(message: &[u8]) -> Option<Bytes> {
    let mut secrets = Vec::new();
    // Only requests carry a proof.
    if !message.starts_with(b"SIP/2.0 ") && may_prove(message) {
        find_proofs(message, &mut secrets);
    }
    // Without a body there is no key.
    if !message.ends_with(b"\r\n\r\n") {
        find_keys(message, &mut secrets);
    }
    if secrets.is_empty() {
        return None;
    }
    let mut copy = message.to_vec();
    secrets.into_iter().for_each(|secret| copy[secret].fill(BLANK));
    Some(copy.into())
}

type Range = std::ops::Range<usize>;

/// Whether the word stands anywhere in the message, however it is written: each message is asked, and almost none has it. The
/// letter that is the rarest leads there.
fn may_prove(message: &[u8]) -> bool {
    let [word, _] = SECRET;
    let before = word.iter().position(|b| *b == b'z').unwrap_or(0);
    let found = |at: usize| {
        let place = at.checked_sub(before).and_then(|from| message.get(from..from + word.len()));
        place.is_some_and(|place| place.eq_ignore_ascii_case(word))
    };
    memchr2_iter(b'z', b'Z', message).any(found)
}

fn find_proofs(message: &[u8], secrets: &mut Vec<Range>) {
    let mut at = 0;
    while at < message.len() {
        let line = at..memchr(b'\n', &message[at..]).map_or(message.len(), |length| at + length);
        at = line.end + 1;
        if message[line.clone()].trim_ascii_end().is_empty() && line.start > 0 {
            return;
        }
        // The rest of a folded header belongs to it.
        let mut end = line.end;
        while matches!(message.get(end + 1), Some(b' ' | b'\t')) {
            end = memchr(b'\n', &message[end + 1..]).map_or(message.len(), |more| end + 1 + more);
        }
        let Some(colon) = name_ends(&message[line.clone()]) else { continue };
        secrets.push(proof(message, line.start + colon + 1..end));
    }
}

/// Where the name of a header that carries a proof ends in its line.
fn name_ends(line: &[u8]) -> Option<usize> {
    if !matches!(line.first(), Some(b'A' | b'a' | b'P' | b'p')) {
        return None;
    }
    let colon = memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name)).then_some(colon)
}

/// The part of a header's value that proves something: `response` of a digest, everything after the scheme of any other.
fn proof(message: &[u8], value: Range) -> Range {
    let text = &message[value.clone()];
    let trimmed = text.trim_ascii_start();
    let lead = text.len() - trimmed.len();
    let scheme = trimmed.iter().position(u8::is_ascii_whitespace).unwrap_or(trimmed.len());
    let from = value.start + lead + scheme;
    if trimmed[..scheme].eq_ignore_ascii_case(b"digest")
        && let Some(found) = response(&message[from..value.end])
    {
        return from + found.start..from + found.end;
    }
    let end = value.start + text.trim_ascii_end().len();
    let gap = message[from..value.end].iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    (from + gap).min(end)..end
}

/// The value of `response` among the parameters of a digest.
fn response(parameters: &[u8]) -> Option<Range> {
    let is_name = |at: usize| {
        let before = parameters[..at].last().is_none_or(|b| matches!(b, b',' | b' ' | b'\t' | b'\n'));
        before && parameters[at..].get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"response"))
    };
    let name = (0..parameters.len()).find(|at| is_name(*at))?;
    let equals = name + 8 + parameters[name + 8..].iter().position(|b| !b.is_ascii_whitespace())?;
    if parameters[equals] != b'=' {
        return None;
    }
    let start = equals + 1 + parameters[equals + 1..].iter().position(|b| !b.is_ascii_whitespace())?;
    if parameters[start] == b'"' {
        let length = memchr(b'"', &parameters[start + 1..]).unwrap_or(parameters.len() - start - 1);
        return Some(start + 1..start + 1 + length);
    }
    let length = parameters[start..].iter().position(|b| *b == b',' || b.is_ascii_whitespace());
    Some(start..length.map_or(parameters.len(), |length| start + length))
}

fn find_keys(message: &[u8], secrets: &mut Vec<Range>) {
    static LINES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY_LINE));
    let mut at = 0;
    while let Some(line) = LINES.find(&message[at..]) {
        let start = at + line + KEY_LINE.len();
        let end = memchr(b'\n', &message[start..]).map_or(message.len(), |length| start + length);
        let mut from = start;
        while let Some(inline) = memmem::find(&message[from..end], INLINE) {
            let key = from + inline + INLINE.len();
            let length = message[key..end].iter().position(|b| matches!(b, b'|' | b';') || b.is_ascii_whitespace());
            from = length.map_or(end, |length| key + length);
            secrets.push(key..from);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let shown = masked(text.as_bytes()).unwrap_or_else(|| Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(shown.len(), text.len(), "lengths stay");
        String::from_utf8(shown.to_vec()).expect("text")
    }

    #[test]
    fn the_response_of_a_digest_is_blanked_however_it_is_written() {
        for (written, hidden) in [
            ("Authorization: Digest username=\"u\", response=\"0123abcd\", uri=\"sip:h\"", "0123abcd"),
            ("AUTHORIZATION : digest nonce=\"response=1\", Response = \"0123abcd\"", "0123abcd"),
            ("proxy-authorization:Digest cnonce=\"c\",\r\n response=\"0123abcd\",qop=auth", "0123abcd"),
            ("Proxy-Authorization: Digest response=0123abcd, nc=1", "0123abcd"),
            ("Authorization: Basic dTpzZWNyZXQ=", "dTpzZWNyZXQ="),
            ("Authorization: Digest nothing", "nothing"),
            ("Authorization: token", ""),
            ("Authorization:", ""),
        ] {
            let text = format!("INVITE sip:h SIP/2.0\r\n{written}\r\nCall-ID: c\r\nContent-Length: 0\r\n\r\n");
            let shown = shown(&text);
            let expected =
                if hidden.is_empty() { text.clone() } else { text.replace(hidden, &"x".repeat(hidden.len())) };
            assert_eq!(shown, expected, "{written}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_and_is_not_even_copied() {
        let text = "ACK sip:h SIP/2.0\r\nAccept: a\r\nCall-ID: c\r\n\r\nAuthorization: Digest response=\"1\"\r\n";
        assert_eq!(shown(text), text, "a body is no header");
        assert_eq!(masked(b"BYE sip:h SIP/2.0\r\nCall-ID: c\r\n\r\n"), None);
        let cut = "INVITE sip:h SIP/2.0\r\nAuthorization: Digest response=\"12";
        assert_eq!(shown(cut), cut.replace("12", "xx"), "a message that ends too soon hides it too");
    }

    #[test]
    fn keys_of_srtp_are_blanked() {
        let text =
            "SIP/2.0 200 OK\r\n\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3|2^20|1:32\r\na=x\r\n";
        assert_eq!(shown(text), text.replace("d0RmdmcmVCspeEc3", "xxxxxxxxxxxxxxxx"));
    }

    #[test]
    fn no_message_panics() {
        let whole =
            "INVITE sip:h SIP/2.0\r\nAuthorization: Digest x=1, response = \"ab\"\r\n y\r\n\r\na=crypto:1 inline:k";
        (0..whole.len()).for_each(|end| drop(masked(&whole.as_bytes()[..end])));
    }
}
