//! How a number is written on each side of a trunk. It never decides whether the number may be called.
//!
//! Inside the switch an international number is E.164 with its `+`. A trunk may send it with `00`, without either, with a
//! tech prefix or with visual separators (RFC 3966 §5.1.1); what is no international number, such as `112`, `*21` or a
//! user's name, stays what it is.

use std::borrow::Cow;

/// Fewest digits of an international number without `+` or `00`; what is shorter is a short code or an emergency number.
pub const MIN_INTERNATIONAL: usize = 7;
/// Most digits of an international number (E.164 §6.2.1).
pub const MAX_INTERNATIONAL: usize = 15;

/// What a trunk dialled does not begin with its tech prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the tech prefix is missing")]
pub struct MissingTechPrefix;

/// The number that a trunk dialled as the switch writes it: the tech prefix taken off, separators removed, and with a `+`
/// if it is an international one. `dialled` is the user part of the Request-URI, a `tel:` URI too.
///
/// # Errors
/// [`MissingTechPrefix`] if the trunk has one and `dialled` does not begin with it.
pub fn ingress(dialled: &str, tech_prefix: &str) -> Result<String, MissingTechPrefix> {
    let plain = plain(dialled);
    if tech_prefix.is_empty() {
        return Ok(international(&plain).unwrap_or_else(|| plain.into_owned()));
    }
    // Some put their + before the tech prefix.
    let rest = plain.strip_prefix(tech_prefix).or_else(|| plain.strip_prefix('+')?.strip_prefix(tech_prefix));
    let rest = rest.ok_or(MissingTechPrefix)?;
    Ok(international(rest).unwrap_or_else(|| rest.to_owned()))
}

/// The number to call on a trunk: with a tech prefix it stands in place of the `+`.
#[must_use]
pub fn egress(number: &str, tech_prefix: &str) -> String {
    if tech_prefix.is_empty() {
        return number.to_owned();
    }
    format!("{tech_prefix}{}", number.strip_prefix('+').unwrap_or(number))
}

/// The number that a caller shows as the switch writes it; `None` if it shows no international number.
#[must_use]
pub fn shown(number: &str) -> Option<String> {
    international(&plain(number))
}

/// Takes off `tel:` and parameters, and from numbers the separators.
fn plain(dialled: &str) -> Cow<'_, str> {
    let scheme = dialled.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    let dialled = &dialled[scheme.map_or(0, str::len)..];
    let user = dialled.split_once(';').map_or(dialled, |(user, _)| user);
    let separator = |sign: char| matches!(sign, '-' | '.' | '(' | ')' | ' ');
    let number = |sign: char| sign.is_ascii_digit() || matches!(sign, '+' | '*' | '#') || separator(sign);
    // A user's name may hold a hyphen or a dot that is part of it.
    if user.contains(separator) && user.chars().all(number) {
        Cow::Owned(user.chars().filter(|sign| !separator(*sign)).collect())
    } else {
        Cow::Borrowed(user)
    }
}

/// With its `+`, if it is an international number.
fn international(text: &str) -> Option<String> {
    let marked = text.strip_prefix('+').or_else(|| text.strip_prefix("00"));
    let digits = marked.unwrap_or(text);
    // Marked numbers are believed even where they are short; the least that routing knows is three digits.
    let shortest = if marked.is_some() { 3 } else { MIN_INTERNATIONAL };
    let good = (shortest..=MAX_INTERNATIONAL).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    good.then(|| ["+", digits].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn international_numbers_come_in_with_their_plus() {
        for dialled in [
            "+442071230000",
            "00442071230000",
            "442071230000",
            "tel:+44-20-7123-0000",
            "TEL:+44(20)7123.0000;npdi",
            "+44 20 7123 0000",
        ] {
            assert_eq!(ingress(dialled, "").as_deref(), Ok("+442071230000"), "{dialled}");
        }
    }

    #[test]
    fn what_is_no_international_number_stays() {
        for dialled in ["112", "*21", "alice", "a.b-c", "02071230000", "+", "", "0", "1234567890123456", "+0123456"] {
            assert_eq!(ingress(dialled, "").as_deref(), Ok(dialled));
        }
        assert_eq!(ingress("1-1-2", "").as_deref(), Ok("112"));
    }

    #[test]
    fn the_tech_prefix_is_required_and_taken_off() {
        for dialled in ["9900442071230000", "9900+442071230000", "990000442071230000", "+9900442071230000"] {
            assert_eq!(ingress(dialled, "9900").as_deref(), Ok("+442071230000"), "{dialled}");
        }
        assert_eq!(ingress("77#112", "77#").as_deref(), Ok("112"));
        assert_eq!(ingress("+442071230000", "9900"), Err(MissingTechPrefix));
    }

    #[test]
    fn the_tech_prefix_stands_in_place_of_the_plus() {
        assert_eq!(egress("+442071230000", "9900"), "9900442071230000");
        assert_eq!(egress("112", "9900"), "9900112");
        assert_eq!(egress("+442071230000", ""), "+442071230000");
    }

    #[test]
    fn shown_numbers_are_international_or_none() {
        assert_eq!(shown("004420 7123 0000").as_deref(), Some("+442071230000"));
        assert_eq!((shown("anonymous"), shown("101"), shown("")), (None, None, None));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(dialled in "[+0-9*#a-z .();-]{0,20}|\\PC{0,12}") {
            let once = ingress(&dialled, "").unwrap();
            prop_assert!(!once.starts_with('+') || once == ingress(&once, "").unwrap());
        }

        #[test]
        fn what_goes_out_comes_back_in(digits in "[1-9][0-9]{6,14}", prefix in "[0-9#]{0,6}") {
            let number = format!("+{digits}");
            prop_assert_eq!(ingress(&egress(&number, &prefix), &prefix).unwrap(), number);
        }
    }
}
