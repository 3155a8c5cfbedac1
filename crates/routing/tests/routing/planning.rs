//! The rules of planning, one a test.

use crate::view_of;
use routing::{Origin, Plan, Query, Refusal, Target, View};
use sip::clock::Wall;

const TABLES: &str = r#"
[[account]]
name = "acme"
currency = "EUR"
plan = "retail"

[[trunk]]
name = "pbx"
account = "acme"
[trunk.ingress]
username = "pbx"
password = "p"
registers = true
plan = "retail"
deny = ["4487"]
[trunk.egress]
gateways = [{ address = "192.0.2.9" }]

[[trunk]]
name = "carrier"
[trunk.ingress]
from = ["192.0.2.1"]
allow = ["44", "49"]

[[trunk]]
name = "alpha"
ingress = { from = ["192.0.2.2"], plan = "retail" }
egress = { gateways = [{ address = "192.0.2.2" }] }
[[trunk]]
name = "beta"
egress = { gateways = [{ address = "192.0.2.3" }] }
[[trunk]]
name = "gamma"
egress = { gateways = [{ address = "192.0.2.4" }] }

[[plan]]
name = "retail"
[[plan.route]]
prefix = "44"
trunks = ["alpha", "beta"]
[[plan.route]]
prefix = "4470"
trunks = ["gamma"]
hours = "Mon-Fri 08:00-18:00 Europe/Berlin; Sat 22:00-02:00"
[[plan.route]]
prefix = "447"
trunks = ["beta"]
[[plan.route]]
prefix = "1"
trunks = ["beta", { trunk = "alpha", hairpin = true }]
[[plan.route]]
prefix = "100"
trunks = ["alpha"]

[[plan]]
name = "cheap"
order = "cost"
[[plan.route]]
prefix = ""
trunks = ["gamma"]

[[number]]
number = "+442071230000"
account = "acme"
to = "trunk:pbx"
on_failure = "number:+447011111111"
ring_seconds = 20
[[number]]
number = "+442071230001"
account = "acme"
to = "user:alice"
[[number]]
number = "+442071230002"
to = "number:+442071230001"
[[number]]
number = "+442071230003"
to = "plan:cheap"
[[number]]
number = "+442071230004"
to = "user:alice"
on_failure = "number:+442071230005"
[[number]]
number = "+442071230005"
to = "user:bob"
on_failure = "number:+442071230004"

[[number]]
number = "+442071230006"
account = "acme"
to = "user:bob"
on_failure = "number:+447011111111"
[[number]]
number = "+442071230007"
to = "plan:cheap"
on_failure = "plan:cheap"

[[user]]
name = "alice"
account = "acme"
password = "p"
[[user]]
name = "bob"
account = "acme"
password = "p"
plan = "cheap"
[[user]]
name = "stranger"
password = "p"

[[ported]]
number = "+447000000001"
lrn = "+447100000000"

[[screen]]
name = "world"
block_called = ["44900"]
block_caller = ["666"]
emergency = [{ number = "112", trunks = ["beta", "gamma"] }, { number = "999", trunks = ["gamma"] }]
"#;

/// 2026-11-21, a Saturday, 12:00 in Berlin.
const SATURDAY: Wall = Wall(1_795_258_800_000);
/// The Friday before, 12:00 in Berlin.
const FRIDAY: Wall = Wall(SATURDAY.0 - 86_400_000);

struct Call<'a> {
    view: &'a View,
    from: &'a str,
    caller: &'a str,
    at: Wall,
}

impl Call<'_> {
    fn to(&self, called: &str) -> Result<Plan, Refusal> {
        let origin = match self.view.trunk(self.from) {
            Some(trunk) => Origin::Trunk(trunk),
            None => Origin::User(self.view.user(self.from).expect("a trunk or a user")),
        };
        let query = Query { origin, called, caller: self.caller, at: self.at, seed: 1, explain: false };
        let (result, candidates) = self.view.explain(&query);
        // To be asked why changes nothing.
        assert_eq!(words(&self.view.plan(&query)), words(&result));
        if let Ok(plan) = &result {
            assert_eq!(
                candidates
                    .iter()
                    .filter(|candidate| candidate.what.contains(' ')
                        && candidate.kept
                        && !candidate.what.starts_with("plan"))
                    .count(),
                plan.attempts.len()
            );
        }
        result
    }

    /// The attempts as text.
    fn tries(&self, called: &str) -> Vec<String> {
        words(&self.to(called))
    }
}

fn words(result: &Result<Plan, Refusal>) -> Vec<String> {
    match result {
        Err(refusal) => vec![format!("{} {refusal}", refusal.sip_code())],
        Ok(plan) => plan.attempts.iter().map(|attempt| format!("{} {}", attempt.target, attempt.called)).collect(),
    }
}

fn call<'a>(view: &'a View, from: &'a str) -> Call<'a> {
    Call { view, from, caller: "+442071230000", at: SATURDAY }
}

#[test]
fn the_longest_prefix_wins() {
    let view = view_of(TABLES);
    let call = call(&view, "pbx");
    assert_eq!(call.tries("+442012345678"), ["trunk alpha +442012345678", "trunk beta +442012345678"]);
    assert_eq!(call.tries("+447512345678"), ["trunk beta +447512345678"]);
    assert_eq!(call.tries("442012345678").len(), 2, "a number may come without its +");
    let plan = call.to("+442012345678").unwrap();
    assert_eq!((plan.attempts[0].plan.as_deref(), plan.attempts[0].prefix.to_string()), (Some("retail"), "44".into()));
    assert!(plan.number.is_none() && plan.lrn.is_none() && !plan.emergency);
}

#[test]
fn nothing_that_matches_is_no_route() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "pbx").to("+4930123456").unwrap_err(), Refusal::NoRoute);
    assert_eq!(Refusal::NoRoute.sip_code(), 404);
}

#[test]
fn a_closed_route_falls_to_the_next_shorter_prefix() {
    let view = view_of(TABLES);
    let open = Call { at: FRIDAY, ..call(&view, "pbx") };
    assert_eq!(open.tries("+447012345678"), ["trunk gamma +447012345678"]);
    let closed = call(&view, "pbx");
    assert_eq!(closed.tries("+447012345678"), ["trunk beta +447012345678"]);
    let saturday_night = Call { at: Wall(SATURDAY.0 + 13 * 3_600_000), ..call(&view, "pbx") };
    assert_eq!(
        saturday_night.tries("+447012345678"),
        ["trunk gamma +447012345678"],
        "Sunday 01:00 belongs to Saturday"
    );
}

#[test]
fn a_call_does_not_go_back_where_it_came_from() {
    let view = view_of(TABLES);
    let call = call(&view, "alpha");
    assert_eq!(call.tries("+442012345678"), ["trunk beta +442012345678"]);
    assert_eq!(call.to("+1002345678").unwrap_err(), Refusal::NoRoute);
    assert_eq!(call.tries("+12125550123").len(), 2, "unless its route says hairpin");
}

#[test]
fn a_number_of_ours_goes_where_it_leads() {
    let view = view_of(TABLES);
    let call = call(&view, "carrier");
    assert_eq!(
        call.tries("+442071230000"),
        ["registered pbx +442071230000", "trunk pbx +442071230000", "trunk beta +447011111111",],
        "where it is registered, its gateways, then on_failure by the plan of its account"
    );
    let plan = call.to("+442071230000").unwrap();
    assert_eq!(plan.number.as_ref().unwrap().number.to_string(), "+442071230000");
    assert_eq!(
        plan.attempts.iter().map(|attempt| attempt.ring_seconds).collect::<Vec<_>>(),
        [Some(20), Some(20), None]
    );
    assert!(plan.attempts[2].forwarded_by.is_some());
    assert_eq!(call.tries("+442071230001"), ["user alice +442071230001"]);
    assert_eq!(call.tries("+442071230002"), ["user alice +442071230001"]);
    assert_eq!(call.tries("+442071230003"), ["trunk gamma +442071230003"]);
    assert!(matches!(call.to("+442071230001").unwrap().attempts[0].target, Target::User(_)));
}

#[test]
fn numbers_that_stand_in_for_each_other_end() {
    let view = view_of(TABLES);
    let tries = call(&view, "carrier").tries("+442071230004");
    assert_eq!(tries, ["user alice +442071230004", "user bob +442071230005"]);
    let origin = Origin::Trunk(view.trunk("carrier").unwrap());
    let query = Query { origin, called: "+442071230004", caller: "", at: SATURDAY, seed: 1, explain: true };
    let (_, candidates) = view.explain(&query);
    assert_eq!(candidates.len(), 3);
    assert!(!candidates[2].kept && candidates[2].why.contains("circle"), "the circle is seen at its first return");
}

#[test]
fn a_call_sent_out_again_goes_by_the_plan_of_who_owns_the_number() {
    let view = view_of(TABLES);
    let tries = call(&view, "carrier").tries("+442071230006");
    assert_eq!(tries, ["user bob +442071230006", "trunk beta +447011111111"]);
}

#[test]
fn nothing_is_tried_twice() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "carrier").tries("+442071230007"), ["trunk gamma +442071230007"]);
}

#[test]
fn an_origin_without_a_plan_reaches_only_our_numbers() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "carrier").to("+442012345678").unwrap_err(), Refusal::NoPlan);
    assert_eq!(call(&view, "stranger").to("+442012345678").unwrap_err(), Refusal::NoPlan);
}

#[test]
fn a_line_calls_by_its_plan_or_that_of_its_account() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "alice").tries("+442012345678").len(), 2);
    assert_eq!(call(&view, "bob").tries("+442012345678"), ["trunk gamma +442012345678"]);
}

#[test]
fn lines_of_one_account_call_each_other_by_name() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "alice").tries("bob"), ["user bob bob"]);
    assert_eq!(call(&view, "pbx").tries("bob"), ["user bob bob"]);
    assert_eq!(call(&view, "stranger").to("bob").unwrap_err(), Refusal::UnknownNumber);
    assert_eq!(call(&view, "alice").to("stranger").unwrap_err(), Refusal::UnknownNumber);
    assert_eq!(call(&view, "alice").to("").unwrap_err(), Refusal::UnknownNumber);
}

#[test]
fn a_ported_number_is_routed_by_its_routing_number() {
    let view = view_of(TABLES);
    let plan = Call { at: FRIDAY, ..call(&view, "pbx") }.to("+447000000001").unwrap();
    assert_eq!(plan.lrn.unwrap().to_string(), "+447100000000");
    assert_eq!(words(&Ok(plan)), ["trunk beta +447000000001"], "by 447, not by 4470; the number called stays");
}

#[test]
fn what_is_forbidden_is_refused() {
    let view = view_of(TABLES);
    assert_eq!(call(&view, "pbx").to("+448712345678").unwrap_err(), Refusal::DeniedCalled("deny"));
    assert_eq!(call(&view, "carrier").to("+12125550123").unwrap_err(), Refusal::DeniedCalled("allow"));
    assert_eq!(call(&view, "pbx").to("+449001234567").unwrap_err(), Refusal::DeniedCalled("screen"));
    let caller = Call { caller: "+6661234", ..call(&view, "pbx") };
    assert_eq!(caller.to("+442012345678").unwrap_err(), Refusal::DeniedCaller);
    assert_eq!((Refusal::DeniedCaller.sip_code(), Refusal::DeniedCaller.q850()), (403, 21));
}

#[test]
fn emergency_calls_pass_whatever_else_holds() {
    let view = view_of(TABLES);
    let caller = Call { caller: "+6661234", ..call(&view, "carrier") };
    let plan = caller.to("112").unwrap();
    assert!(plan.emergency);
    assert_eq!(caller.tries("112"), ["trunk beta 112", "trunk gamma 112"]);
    assert_eq!(caller.tries("999"), ["trunk gamma 999"]);
    assert_eq!(caller.tries("urn:service:sos"), ["trunk beta 112", "trunk gamma 112"]);
    assert_eq!(caller.tries("urn:service:sos.police"), ["trunk beta 112", "trunk gamma 112"]);
    assert!(call(&view, "stranger").to("112").unwrap().emergency);
    assert_eq!(call(&view, "pbx").to("urn:service:sosx").unwrap_err(), Refusal::UnknownNumber);
    assert!(!call(&view, "pbx").to("+112").unwrap().emergency);
}

#[test]
fn an_explanation_says_what_became_of_each_candidate() {
    let view = view_of(TABLES);
    let trunk = view.trunk("alpha").unwrap();
    let query = Query {
        origin: Origin::Trunk(trunk),
        called: "+447012345678",
        caller: "",
        at: SATURDAY,
        seed: 1,
        explain: true,
    };
    let (_, candidates) = view.explain(&query);
    assert_eq!(candidates[0].what, "route \"4470\"");
    assert!(!candidates[0].kept && candidates[0].why.contains("closed"));
    assert!(candidates[1].kept && candidates[1].what == "trunk beta");
    let (result, candidates) = view.explain(&Query { called: "+1002345678", ..query });
    assert_eq!(result.unwrap_err(), Refusal::NoRoute);
    assert!(candidates[0].what == "trunk alpha" && candidates[0].why.contains("hairpin"));
    let bob = view.user("bob").unwrap();
    let (_, candidates) = view.explain(&Query { origin: Origin::User(bob), ..query });
    assert!(candidates[0].why.contains("order = \"cost\""), "{candidates:?}");
}
