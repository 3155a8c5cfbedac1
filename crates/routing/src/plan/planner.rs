//! The steps of planning: emergency, screens, our own numbers, ported numbers, and the routes of a plan.

use super::order::order;
use super::{Attempt, Candidate, Origin, Plan, Query, Refusal, Target};
use crate::digits::{E164, Prefix};
use crate::model::{Destination, Emergency, Name, Number, Order, RouteTrunk, Trunk};
use crate::tables::Opening;
use crate::view::{PlanIndex, View};
use smallvec::SmallVec;
use std::sync::Arc;

/// How many numbers may lead to each other in a chain.
pub(crate) const MAX_CHAIN: usize = 8;
/// How many attempts a call has at most, whatever its numbers and plans say.
const MAX_ATTEMPTS: usize = 32;

/// Plans a call; beside it the candidates, for when there is no plan to hold them.
pub(crate) fn plan(view: &View, query: &Query<'_>) -> (Result<Plan, Refusal>, Vec<Candidate>) {
    let mut planner = Planner { view, query, plan: Plan::default(), chain: SmallVec::new() };
    match planner.run() {
        Err(refusal) => (Err(refusal), planner.plan.candidates),
        Ok(()) if planner.plan.attempts.is_empty() => (Err(Refusal::NoRoute), planner.plan.candidates),
        Ok(()) => (Ok(planner.plan), Vec::new()),
    }
}

/// A number on its way through numbers and plans.
#[derive(Clone)]
struct Called {
    text: Arc<str>,
    digits: Prefix,
    number: Option<E164>,
}

impl Called {
    fn of_number(number: E164) -> Self {
        Self { text: number.to_string().into(), digits: number.digits(), number: Some(number) }
    }
}

/// What the number that leads here adds to an attempt.
#[derive(Clone, Copy, Default)]
struct Led<'p> {
    by: Option<&'p Arc<Number>>,
    ring_seconds: Option<u32>,
}

struct Planner<'a> {
    view: &'a View,
    query: &'a Query<'a>,
    plan: Plan,
    chain: SmallVec<[E164; MAX_CHAIN]>,
}

impl<'a> Planner<'a> {
    fn run(&mut self) -> Result<(), Refusal> {
        let (view, dialled) = (self.view, self.query.called);
        if let Some(emergency) = view.screening().emergency(dialled) {
            return self.call_emergency(emergency);
        }
        if view.screening().blocks_caller(Prefix::leading(self.query.caller)) {
            return Err(Refusal::DeniedCaller);
        }
        if let Some(user) = view.user(dialled).filter(|user| self.same_account(user.account.as_ref())) {
            self.push_user(&user.name, &dialled.into(), Led::default());
            return Ok(());
        }
        let called = read_called(dialled).ok_or(Refusal::UnknownNumber)?;
        self.check_called(called.digits)?;
        match called.number.and_then(|number| view.number(number)) {
            Some(row) => {
                self.plan.number = Some(row.clone());
                self.through_number(row, None)
            }
            None => self.by_plan(self.plan_of_origin().ok_or(Refusal::NoPlan)?, &called, Led::default()),
        }
    }

    fn same_account(&self, account: Option<&Name>) -> bool {
        let own = match self.query.origin {
            Origin::Trunk(trunk) => trunk.account.as_ref(),
            Origin::User(user) => user.account.as_ref(),
        };
        own.is_some() && own == account
    }

    /// What a trunk may not call stays so when it dials a number of ours.
    fn check_called(&self, digits: Prefix) -> Result<(), Refusal> {
        if self.view.screening().blocks_called(digits) {
            return Err(Refusal::DeniedCalled("screen"));
        }
        let Origin::Trunk(Trunk { ingress: Some(ingress), .. }) = self.query.origin else { return Ok(()) };
        if ingress.deny.iter().any(|prefix| prefix.begins(digits)) {
            return Err(Refusal::DeniedCalled("deny"));
        }
        if !ingress.allow.is_empty() && !ingress.allow.iter().any(|prefix| prefix.begins(digits)) {
            return Err(Refusal::DeniedCalled("allow"));
        }
        Ok(())
    }

    fn plan_of_origin(&self) -> Option<&'a str> {
        match self.query.origin {
            Origin::Trunk(trunk) => trunk.ingress.as_ref()?.plan.as_deref(),
            Origin::User(user) => user.plan.as_deref().or_else(|| self.plan_of_account(user.account.as_ref())),
        }
    }

    fn plan_of_account(&self, account: Option<&Name>) -> Option<&'a str> {
        self.view.account(account?)?.plan.as_deref()
    }

    /// A call that a number sends out again goes by the plan of whoever owns the number, not of whoever called it.
    fn plan_of_number(&self, row: &'a Number) -> Option<&'a str> {
        let of_trunk = || match &row.to {
            Destination::Trunk(name) => self.view.trunk(name)?.ingress.as_ref()?.plan.as_deref(),
            Destination::User(name) => self.view.user(name)?.plan.as_deref(),
            Destination::Number(_) | Destination::Plan(_) => None,
        };
        self.plan_of_account(row.account.as_ref()).or_else(of_trunk).or_else(|| self.plan_of_origin())
    }

    fn call_emergency(&mut self, emergency: &Emergency) -> Result<(), Refusal> {
        self.plan.emergency = true;
        let called: Arc<str> = emergency.number.to_string().into();
        for trunk in &emergency.trunks {
            self.push_trunk(trunk, &called, None, Prefix::EMPTY, Led::default());
        }
        if self.plan.attempts.is_empty() { Err(Refusal::NoRoute) } else { Ok(()) }
    }

    /// `to`, then `on_failure`. The one may fail to plan when the other does not.
    fn through_number(&mut self, row: &'a Arc<Number>, ring_seconds: Option<u32>) -> Result<(), Refusal> {
        if self.chain.len() == MAX_CHAIN || self.chain.contains(&row.number) {
            self.note(false, || (format!("number {}", row.number), String::new(), Refusal::Loop.to_string()));
            return Err(Refusal::Loop);
        }
        self.chain.push(row.number);
        let first = self.lead_to(row, &row.to, row.ring_seconds.or(ring_seconds));
        let second = row.on_failure.as_ref().map(|failure| self.lead_to(row, failure, None));
        self.chain.pop();
        match (first, second) {
            (Ok(()), _) | (_, Some(Ok(()))) => Ok(()),
            (Err(refusal), _) => Err(refusal),
        }
    }

    fn lead_to(
        &mut self,
        row: &'a Arc<Number>,
        destination: &'a Destination,
        ring_seconds: Option<u32>,
    ) -> Result<(), Refusal> {
        let led = Led { by: Some(row), ring_seconds };
        match destination {
            Destination::Trunk(trunk) => {
                let called = Called::of_number(row.number);
                self.push_trunk(trunk, &called.text, None, Prefix::EMPTY, led);
                Ok(())
            }
            Destination::User(user) => {
                self.push_user(user, &Called::of_number(row.number).text, led);
                Ok(())
            }
            Destination::Plan(plan) => self.by_plan(plan, &Called::of_number(row.number), led),
            Destination::Number(number) => match self.view.number(*number) {
                Some(next) => self.through_number(next, ring_seconds),
                None => {
                    let plan = self.plan_of_number(row).ok_or(Refusal::NoPlan)?;
                    self.by_plan(plan, &Called::of_number(*number), led)
                }
            },
        }
    }

    /// The longest prefix that is open wins, even if none of its trunks can be tried.
    fn by_plan(&mut self, plan: &str, called: &Called, led: Led<'_>) -> Result<(), Refusal> {
        let lrn = called.number.and_then(|number| self.view.lrn(number));
        if self.plan.lrn.is_none() {
            self.plan.lrn = lrn;
        }
        let index = self.view.plan_index(plan).ok_or(Refusal::NoRoute)?;
        for (prefix, openings) in index.matches(lrn.map_or(called.digits, E164::digits)) {
            match openings.iter().find(|opening| is_open(opening, self.query)) {
                Some(opening) => return self.by_route(index, prefix, &opening.trunks, called, led),
                None => self.note(false, || (format!("route {prefix:?}"), format!("plan {plan}"), closed(openings))),
            }
        }
        Err(Refusal::NoRoute)
    }

    fn by_route(
        &mut self,
        index: &PlanIndex,
        prefix: Prefix,
        trunks: &[RouteTrunk],
        called: &Called,
        led: Led<'_>,
    ) -> Result<(), Refusal> {
        let before = self.plan.attempts.len();
        if matches!(index.order, Order::Cost | Order::Quality) {
            let why = || format!("order = \"{}\" has nothing to compare yet: by priority instead", index.order);
            self.note(true, || (format!("plan {}", index.name), String::new(), why()));
        }
        for item in order(trunks, index.order, self.query.seed) {
            if self.comes_from(&item.trunk) && !item.hairpin {
                let by = || format!("plan {} prefix {prefix:?}", index.name);
                let why = || "the call came from it; `hairpin = true` would allow it".to_owned();
                self.note(false, || (format!("trunk {}", item.trunk), by(), why()));
                continue;
            }
            self.push_trunk(&item.trunk, &called.text, Some(&index.name), prefix, led);
        }
        if self.plan.attempts.len() > before { Ok(()) } else { Err(Refusal::NoRoute) }
    }

    fn comes_from(&self, name: &str) -> bool {
        matches!(self.query.origin, Origin::Trunk(trunk) if &*trunk.name == name)
    }

    /// A trunk that registers is called where it is registered; its gateways, if it has some, come after.
    fn push_trunk(&mut self, name: &Name, called: &Arc<str>, plan: Option<&Name>, prefix: Prefix, led: Led<'_>) {
        let Some(trunk) = self.view.trunk(name) else { return };
        if !trunk.takes_calls() {
            self.note(false, || {
                (format!("trunk {name}"), by_words(plan, prefix, led), "it has no gateway and does not register".into())
            });
        }
        if trunk.registers() {
            self.push(Target::Registered(trunk.clone()), called, plan, prefix, led);
        }
        if trunk.egress.as_ref().is_some_and(|egress| !egress.gateways.is_empty()) {
            self.push(Target::Trunk(trunk.clone()), called, plan, prefix, led);
        }
    }

    fn push_user(&mut self, name: &Name, called: &Arc<str>, led: Led<'_>) {
        if let Some(user) = self.view.user(name) {
            self.push(Target::User(user.clone()), called, None, Prefix::EMPTY, led);
        }
    }

    fn push(&mut self, target: Target, called: &Arc<str>, plan: Option<&Name>, prefix: Prefix, led: Led<'_>) {
        let attempts = &self.plan.attempts;
        let again = attempts.iter().any(|known| known.target.same(&target) && known.called == *called);
        let why_not = match attempts.len() {
            MAX_ATTEMPTS => Some("a call has at most 32 attempts"),
            _ if again => Some("it is tried before already"),
            _ => None,
        };
        let why = || match why_not {
            Some(why) => why.to_owned(),
            None => format!("attempt {}, calling {called}", attempts.len() + 1),
        };
        if self.query.explain {
            let candidate = Candidate {
                what: target.to_string(),
                by: by_words(plan, prefix, led),
                kept: why_not.is_none(),
                why: why(),
            };
            self.plan.candidates.push(candidate);
        }
        if why_not.is_none() {
            self.plan.attempts.push(Attempt {
                target,
                called: called.clone(),
                plan: plan.cloned(),
                prefix,
                ring_seconds: led.ring_seconds,
                forwarded_by: led.by.cloned(),
            });
        }
    }

    /// Notes what became of a candidate, if somebody wants to know.
    fn note(&mut self, kept: bool, words: impl FnOnce() -> (String, String, String)) {
        if self.query.explain {
            let (what, by, why) = words();
            self.plan.candidates.push(Candidate { what, by, kept, why });
        }
    }
}

fn by_words(plan: Option<&Name>, prefix: Prefix, led: Led<'_>) -> String {
    match (plan, led.by) {
        (Some(plan), None) => format!("plan {plan} prefix {prefix:?}"),
        (Some(plan), Some(number)) => format!("number {} plan {plan} prefix {prefix:?}", number.number),
        (None, Some(number)) => format!("number {}", number.number),
        (None, None) => String::new(),
    }
}

fn closed(openings: &[Opening]) -> String {
    let hours: Vec<_> = openings.iter().filter_map(|opening| opening.hours.as_ref()).map(ToString::to_string).collect();
    format!("closed: open {}", hours.join(" and "))
}

fn is_open(opening: &Opening, query: &Query<'_>) -> bool {
    opening.hours.as_ref().is_none_or(|hours| hours.open_at(query.at))
}

/// Reads what was dialled: an international number, or digits that only a plan understands.
fn read_called(dialled: &str) -> Option<Called> {
    let digits = Prefix::leading(dialled);
    let plain = dialled.strip_prefix('+').unwrap_or(dialled);
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
    if digits.is_empty() || !plain.bytes().all(known) {
        return None;
    }
    Some(Called { text: dialled.into(), digits, number: E164::dialled(dialled) })
}
