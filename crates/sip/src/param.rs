//! `;name=value` parameters, as URIs, Vias and addresses carry them.

use memchr::{memchr, memchr2, memchr3};

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
        // Quotes hide separators, and white space beyond ASCII is rare: such lists are read piece by piece.
        if name.is_empty() || !self.0.is_ascii() || memchr2(b'"', b'<', self.0.as_bytes()).is_some() {
            return self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.unwrap_or(""));
        }
        let mut rest = self.0;
        loop {
            let piece = trim_start(rest.strip_prefix(';').unwrap_or(rest));
            if let Some(value) = value_of(piece, name) {
                return Some(value);
            }
            rest = &piece[memchr(b';', piece.as_bytes())?..];
        }
    }

    /// Whether `name` is there at all.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The value of the parameter that `piece` begins with, if that is `name`; nothing in `piece` is quoted.
fn value_of<'a>(piece: &'a str, name: &str) -> Option<&'a str> {
    let (head, tail) = piece.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name) {
        return None;
    }
    let tail = trim_start(tail);
    match tail.as_bytes().first() {
        None | Some(b';') => Some(""),
        Some(b'=') => {
            let end = memchr(b';', tail.as_bytes()).unwrap_or(tail.len());
            Some(trim(&tail[1..end]))
        }
        Some(_) => None,
    }
}

/// [`str::trim`], which nearly always finds nothing to do.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [] => text,
        [one] if one.is_ascii_graphic() => text,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// [`str::trim_start`], which nearly always finds nothing to do.
#[inline]
pub(crate) fn trim_start(text: &str) -> &str {
    if text.as_bytes().first().is_none_or(u8::is_ascii_graphic) { text } else { text.trim_start() }
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
    let mut angled = false;
    let mut at = 0;
    loop {
        let rest = &text[at..];
        // From one byte that means something to the next.
        at += if angled { memchr2(b'"', b'>', rest) } else { memchr3(wanted, b'"', b'<', rest) }?;
        match text[at] {
            b'"' => at = end_of_quoted(text, at + 1)?,
            byte if byte == wanted && !angled => return Some(at),
            byte => angled = byte == b'<',
        }
        at += 1;
    }
}

/// Where the quoted string ends that begins before `from`.
fn end_of_quoted(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A number of digits only: no sign, no blank, not empty.
///
/// For the types of whole numbers only.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    // A sign is the only thing but digits that the standard library takes.
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit) { text.parse().ok() } else { None }
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
