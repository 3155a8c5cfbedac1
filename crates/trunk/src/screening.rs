//! What a trunk may call, and the block lists that hold for every call. It never plans a route; a refusal here comes
//! before any.

use crate::Reject;
use routing::Prefix;
use routing::model::{Ingress, Screen};

/// The trunk's `allow` and `deny` lists, of which `deny` wins.
///
/// # Errors
/// A 403 with cause 21 (call rejected).
pub fn destination(ingress: &Ingress, called: Prefix) -> Result<(), Reject> {
    if begins(&ingress.deny, called) {
        return refuse("destination denied to the trunk");
    }
    if !ingress.allow.is_empty() && !begins(&ingress.allow, called) {
        return refuse("destination not allowed to the trunk");
    }
    Ok(())
}

/// The block lists. Emergency calls pass them all.
///
/// # Errors
/// A 403 with cause 21 (call rejected).
pub fn blocks<'a>(
    screens: impl IntoIterator<Item = &'a Screen>,
    caller: Option<Prefix>,
    called: Prefix,
) -> Result<(), Reject> {
    let mut refusal = Ok(());
    for screen in screens {
        if screen.emergency.iter().any(|emergency| emergency.number == called) {
            return Ok(());
        }
        if refusal.is_err() {
            continue;
        }
        if begins(&screen.block_called, called) {
            refusal = refuse("destination blocked");
        } else if caller.is_some_and(|caller| begins(&screen.block_caller, caller)) {
            refusal = refuse("caller blocked");
        }
    }
    refusal
}

fn begins(prefixes: &[Prefix], number: Prefix) -> bool {
    prefixes.iter().any(|prefix| prefix.begins(number))
}

const fn refuse(reason: &'static str) -> Result<(), Reject> {
    Err(Reject { code: 403, q850: 21, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::model::Emergency;

    fn prefixes(list: &[&str]) -> Vec<Prefix> {
        list.iter().map(|prefix| prefix.parse().unwrap()).collect()
    }

    fn allowed(allow: &[&str], deny: &[&str], called: &str) -> bool {
        let ingress = Ingress { allow: prefixes(allow), deny: prefixes(deny), ..Ingress::default() };
        destination(&ingress, Prefix::leading(called)).is_ok()
    }

    #[test]
    fn deny_wins_over_allow_and_an_empty_allow_is_all() {
        assert!(allowed(&[], &[], "+447700900000"));
        assert!(allowed(&["44", "1"], &["4487"], "+447700900000"));
        assert!(!allowed(&["44", "1"], &["4487"], "+448700900000"));
        assert!(!allowed(&["44", "1"], &[], "+497700900000"));
        assert!(!allowed(&["44"], &["44"], "+447700900000"));
        assert!(!allowed(&["4420"], &[], "+44"), "a number shorter than the prefix does not match it");
    }

    #[test]
    fn block_lists_hold_for_caller_and_called_but_not_for_emergency_calls() {
        let blocking =
            Screen { block_called: prefixes(&["881", "112"]), block_caller: prefixes(&["4470"]), ..Screen::default() };
        let emergency = Emergency { number: "112".parse().unwrap(), trunks: Vec::new() };
        let screens = [blocking, Screen { emergency: vec![emergency], ..Screen::default() }];
        let check =
            |caller: &str, called: &str| blocks(&screens, Some(Prefix::leading(caller)), Prefix::leading(called));
        assert_eq!(check("+4420", "+4421"), Ok(()));
        assert_eq!(check("+4420", "+8816").map_err(|reject| (reject.code, reject.q850)), Err((403, 21)));
        assert!(check("+44701", "+4421").is_err());
        assert_eq!(check("+44701", "112"), Ok(()), "whatever is blocked, emergency calls pass");
    }
}
