//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Refer-To and their kin (RFC 3261 §20.10).

use crate::param::{Params, find_outside_quotes, trim, trim_start};
use crate::uri::Uri;
use memchr::memchr;

/// One address over borrowed text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes kept; empty if there is none.
    pub display: &'a str,
    /// The URI, without `<>`.
    pub uri: &'a str,
    /// The header's own parameters, such as `;tag=…`.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value. `None` if brackets or quotes are unbalanced or the URI does not parse.
    ///
    /// Without `<>` every `;` begins a header parameter, never a URI parameter (RFC 3261 §20).
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = trim(text);
        let addr = match find_open_angle(text) {
            Some(open) => {
                let display = trim(&text[..open]);
                let rest = &text[open + 1..];
                let close = memchr(b'>', rest.as_bytes())?;
                let tail = trim_start(&rest[close + 1..]);
                if !(tail.is_empty() || tail.starts_with(';')) || !is_display(display) {
                    return None;
                }
                // Blanks within the brackets are not lawful (RFC 4475 §3.1.2.14); `Uri::parse` refuses them.
                Self { display, uri: &rest[..close], params: Params::new(tail) }
            }
            None => {
                let (uri, params) = text.split_at(memchr(b';', text.as_bytes()).unwrap_or(text.len()));
                // A bare URI with a comma or question mark would be ambiguous, so it must be bracketed.
                if uri.contains(['?', ',']) {
                    return None;
                }
                Self { display: "", uri: uri.trim_end(), params: Params::new(params) }
            }
        };
        Uri::parse(addr.uri).map(|_| addr)
    }

    /// The URI, parsed.
    #[must_use]
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// The dialog tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The display name without its quotes and escapes.
    #[must_use]
    pub fn display_text(&self) -> String {
        let inner = self.display.strip_prefix('"').and_then(|d| d.strip_suffix('"'));
        inner.map_or_else(
            || self.display.to_owned(),
            |quoted| {
                let mut out = String::with_capacity(quoted.len());
                let mut chars = quoted.chars();
                while let Some(c) = chars.next() {
                    out.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
                out
            },
        )
    }
}

fn find_open_angle(text: &str) -> Option<usize> {
    if text.starts_with('<') { Some(0) } else { find_outside_quotes(text, b'<') }
}

/// A single quoted string, or words without what would need quotes (RFC 4475 §3.1.2.15).
///
/// Words may hold more than the tokens of the RFC's grammar: phones write names with accents and brackets unquoted.
fn is_display(display: &str) -> bool {
    let Some(inner) = display.strip_prefix('"') else {
        return !display.bytes().any(|byte| matches!(byte, b'"' | b',' | b';' | b'>'));
    };
    let mut bytes = inner.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return bytes.next().is_none(),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_brackets_and_tags() {
        let addr = NameAddr::parse(r#""A \"B\" <x>" <sip:a@h;lr>;tag=1"#).expect("valid");
        assert_eq!(addr.display_text(), r#"A "B" <x>"#);
        assert_eq!(addr.uri, "sip:a@h;lr");
        assert_eq!(addr.tag(), Some("1"));
    }

    #[test]
    fn parameters_of_a_bare_uri_belong_to_the_header() {
        let addr = NameAddr::parse("sip:a@h;tag=9").expect("valid");
        assert_eq!((addr.uri, addr.tag()), ("sip:a@h", Some("9")));
    }

    #[test]
    fn unbalanced_values_are_refused() {
        for bad in [
            r#""x <sip:a@h>"#,
            "<sip:a@h",
            "<sip:a@h> x",
            "sip:a@h?x=y",
            "",
            "< sip:a@h>",
            "B, A <sip:a@h>",
            r#""a" b <sip:a@h>"#,
        ] {
            assert_eq!(NameAddr::parse(bad), None, "{bad}");
        }
    }
}
