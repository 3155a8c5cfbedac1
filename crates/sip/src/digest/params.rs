//! `Digest name=value, name="value"` lists.

use crate::param::split_outside_quotes;

/// The parameters behind the scheme `Digest`; `None` for another scheme.
pub(super) fn digest_params(value: &str) -> Option<&str> {
    let value = value.trim_start();
    let (scheme, rest) = value.split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("Digest").then_some(rest)
}

/// Every parameter as name and raw value: quotes removed, escapes untouched, since digests are made over raw text.
pub(super) fn pairs(params: &str) -> impl Iterator<Item = (&str, &str)> {
    split_outside_quotes(params, b',').filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        let value = value.trim();
        Some((name.trim(), inner(value)))
    })
}

fn inner(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

/// What stands between quotes for `text`: quotes and backslashes escaped, line ends dropped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Undoes [`quoted`].
pub(super) fn unquoted(raw: &str) -> String {
    let mut chars = raw.chars();
    std::iter::from_fn(|| match chars.next()? {
        '\\' => chars.next(),
        c => Some(c),
    })
    .collect()
}
