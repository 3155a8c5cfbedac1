//! `;name=value` parameters, as URIs, Vias and addresses carry them.

use memchr::{memchr, memchr2};

/// The parameters of a value: what follows its first `;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Over text such as `;lr;transport=tcp`; a missing first `;` is forgiven.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The raw text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Every parameter as name and value, white space removed, quotes kept.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        split_outside_quotes(self.0, b';').map(str::trim).filter(|piece| !piece.is_empty()).map(|piece| {
            piece.split_once('=').map_or((piece, None), |(name, value)| (name.trim_end(), Some(value.trim_start())))
        })
    }

    /// The value of `name` in any case; `Some("")` for a parameter without a value.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.unwrap_or(""))
    }

    /// Whether `name` is there at all.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Splits at `separator`, but not within a quoted string, `<…>` or behind a backslash in quotes.
pub fn split_outside_quotes(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        match find_outside_quotes(current, separator) {
            Some(at) => {
                rest = Some(&current[at + 1..]);
                Some(&current[..at])
            }
            None => {
                rest = None;
                Some(current)
            }
        }
    })
}

/// The first `wanted` that is neither quoted nor within `<…>`.
#[must_use]
pub fn find_outside_quotes(text: &str, wanted: u8) -> Option<usize> {
    find_outside_quotes_in(text.as_bytes(), wanted)
}

/// [`find_outside_quotes`] in bytes that need not be UTF-8.
pub(crate) fn find_outside_quotes_in(text: &[u8], wanted: u8) -> Option<usize> {
    // Most values have none, or nothing before it that could hide it.
    let first = memchr(wanted, text)?;
    if memchr2(b'"', b'<', &text[..first]).is_none() {
        return Some(first);
    }
    let mut quoted = false;
    let mut angled = false;
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quoted => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            _ if quoted => {}
            _ if byte == wanted && !angled => return Some(at),
            b'<' => angled = true,
            b'>' => angled = false,
            _ => {}
        }
    }
    None
}

/// A number of digits only: no sign, no blank, not empty.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_and_angles_do_not_split() {
        let pieces: Vec<_> = split_outside_quotes(r#""a,\",b" <sip:x,y@h>;p, c"#, b',').collect();
        assert_eq!(pieces, [r#""a,\",b" <sip:x,y@h>;p"#, " c"]);
    }

    #[test]
    fn parameters_are_found_in_any_case_and_with_white_space() {
        let params = Params::new("; LR ;tag = abc;x=\"a;b\"");
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("TAG"), Some("abc"));
        assert_eq!(params.get("x"), Some("\"a;b\""));
        assert!(!params.has("b"));
    }
}
