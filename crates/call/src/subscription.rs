//! The subscription that a REFER makes (RFC 3515 §2.4.4): its sender hears by NOTIFY how the call goes that it asked for.

use crate::core::{Core, Env, Request};
use crate::effect::{Effect, MediaSide, Point};
use crate::transactions::Purpose;
use serde::{Deserialize, Serialize};
use sip::Name;

/// Whom to tell, and what it was told last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Subscription {
    side: MediaSide,
    /// The number of the REFER: tells several of one dialog apart.
    id: u32,
    told: u16,
}

impl Subscription {
    pub(crate) const fn new(side: MediaSide, id: u32) -> Self {
        Self { side, id, told: 0 }
    }

    /// Tells of a provisional response, once.
    pub(crate) fn progress(&mut self, core: &mut Core, env: &Env<'_>, code: u16) {
        if self.told != code {
            self.told = code;
            let seconds = env.settings.max_ring.as_secs();
            self.notify(core, env, code, &format!("active;expires={seconds}"));
        }
    }

    /// Tells how it ended, and that nothing more will come.
    pub(crate) fn finish(self, core: &mut Core, env: &Env<'_>, code: u16) {
        self.notify(core, env, code, "terminated;reason=noresource");
    }

    fn notify(self, core: &mut Core, env: &Env<'_>, code: u16, state: &str) {
        let body = format!("SIP/2.0 {code} {}\r\n", sip::status::reason(code));
        let request = Request {
            path: 0,
            method: "NOTIFY",
            purpose: Purpose::Notify,
            max_forwards: env.settings.max_forwards,
            content_type: "message/sipfrag;version=2.0",
            body: body.as_bytes(),
        };
        core.request(env, self.side, request, |builder| {
            builder.add(Name::Event, format_args!("refer;id={}", self.id));
            builder.add(Name::SubscriptionState, state);
            builder.add(Name::Allow, crate::headers::ALLOW);
            Core::sign(env, builder, Name::UserAgent);
        });
        // Whoever brings the call back must number its requests behind this one.
        core.out.push_back(Effect::Checkpoint(Point::C4));
    }
}
