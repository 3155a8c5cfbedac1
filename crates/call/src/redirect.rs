//! Redirections (RFC 3261 §8.1.3.4): what a 3xx makes of the plan, where the trunk's policy is to follow it.
//!
//! A carrier's 3xx names a number: the new attempt calls the number of the Contact through the same trunk, whatever host
//! the Contact names, since the trunk is the agreement that the call is paid by. The Contact of a line or of a registered
//! PBX is planned as a call of its own. Names, and Contacts without a number, are not followed.

use crate::attempt::{Try, trunk_of};
use crate::core::{Core, Env};
use routing::model::Redirect;
use routing::{Attempt, Origin, Query, Target};
use sip::addr::NameAddr;
use sip::{Message, Name};

/// Puts the attempts that a 3xx asks for before those that are left; whether there are any.
pub(crate) fn follow(core: &mut Core, env: &Env<'_>, attempt: &Try, message: &Message) -> bool {
    let policy = trunk_of(&attempt.plan.target).map_or(Redirect::Follow, |trunk| trunk.redirect);
    let seed = core.chance.next();
    let Some(route) = core.route.as_mut() else { return false };
    if policy != Redirect::Follow || route.redirects >= env.settings.max_redirects {
        return false;
    }
    route.redirects += 1;
    let mut found = Vec::new();
    for contact in message.values(Name::Contact).filter_map(NameAddr::parse).take(4) {
        let Some(number) = contact.parsed_uri().and_then(|uri| uri.number()) else { continue };
        match &attempt.plan.target {
            // A carrier redirects to numbers only: names mean something within one account.
            Target::Trunk(_) => found.extend(
                trunk::translate::shown(&number)
                    .map(|number| Attempt { called: number.into(), ..attempt.plan.clone() }),
            ),
            Target::Registered(trunk) => plan(env, Origin::Trunk(trunk), &number, seed, &mut found),
            Target::User(user) => plan(env, Origin::User(user), &number, seed, &mut found),
        }
    }
    for next in found.iter().rev() {
        route.attempts.push_front(next.clone());
    }
    !found.is_empty()
}

/// A line or PBX that redirects places the call on its own account.
fn plan(env: &Env<'_>, origin: Origin<'_>, dialled: &str, seed: u64, found: &mut Vec<Attempt>) {
    let called = trunk::translate::ingress(dialled, "").unwrap_or_default();
    let query = Query { origin, called: &called, caller: "", at: env.now.wall, seed, explain: false };
    if let Ok(plan) = env.view.plan(&query) {
        found.extend(plan.attempts);
    }
}
