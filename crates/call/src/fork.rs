//! Forks of the callee: each of its dialogs gets a dialog of its own towards the caller (RFC 3261 §13.2.2.4).

use crate::attempt::Try;
use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::leg::{Leg, Path};
use sip::Message;
use sip::dialog::Dialog;

/// Most early dialogs of one call.
const MAX_PATHS: usize = 8;

/// The path of the callee's dialog that a response names; made if it is new. `None` if it names none, or too many did.
pub(crate) fn path_of(core: &mut Core, env: &Env<'_>, attempt: &Try, message: &Message) -> Option<usize> {
    let tag = message.to_tag().unwrap_or("");
    let is_2xx = message.code().is_some_and(|code| code >= 200);
    if tag.is_empty() && !is_2xx {
        return None;
    }
    let known = |path: &Path| path.attempt == attempt.number && path.leg(MediaSide::B).dialog.remote_tag() == tag;
    if let Some(at) = core.paths.iter().position(|path| known(path)) {
        return Some(at);
    }
    if core.paths.len() >= MAX_PATHS {
        if !is_2xx {
            return None;
        }
        core.paths.pop();
    }
    let path = make(core, env, attempt, message)?;
    core.paths.push(Box::new(path));
    Some(core.paths.len() - 1)
}

fn make(core: &mut Core, env: &Env<'_>, attempt: &Try, message: &Message) -> Option<Path> {
    let invite = core.invite.clone()?;
    let caller = core.caller.as_ref()?;
    let (caller_flow, pinned, first_tag) = (caller.flow, caller.pinned, caller.tag.clone());
    let client = core.tx.client(attempt.client)?;
    let (request, callee_flow) = (client.request.clone()?, client.to);
    let is_taken = core.paths.iter().any(|path| path.leg(MediaSide::A).dialog.local_tag() == &*first_tag);
    let tag = if is_taken { core.tag(MediaSide::A) } else { first_tag };
    let mut dialog = Dialog::uas(&invite, &tag)?;
    if core.takeovers > 0 {
        // A former node may have spoken under the same tag.
        dialog.take_over(core.spare());
    }
    let a = Leg::new(dialog, caller_flow, pinned, &invite, env.locals);
    let bound = attempt.hops.front().is_some_and(|hop| hop.flow.is_some());
    let b = Leg::new(Dialog::uac_of(&request, message)?, callee_flow, bound, message, env.locals);
    let b = b.of_attempt(attempt.number);
    Some(Path { legs: [a, b], early: None, attempt: attempt.number })
}
