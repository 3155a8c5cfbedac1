//! What passes through an answered call, and what ends it.

use call::Input;
use call::effect::{MediaSide, Steer};
use call::record::EndedBy;
use sip::{Builder, Method, Name};
use std::time::Duration;
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

fn talking() -> World {
    let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
    world.call("442071230000");
    world.run_for(Duration::from_secs(2));
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    world
}

fn last(world: &World, side: MediaSide) -> Steer {
    world.node.steers.iter().rfind(|steer| steer.side == side).cloned().expect("steered")
}

fn reinvite(world: &mut World, agent: usize, direction: &str) {
    world.act(agent, |agent, now| {
        let body = agent.describe(direction);
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(Duration::from_secs(1));
}

#[test]
fn hold_closes_the_gates_and_resume_opens_them() {
    let mut world = talking();
    for (agent, side) in [(0, MediaSide::A), (1, MediaSide::B)] {
        reinvite(&mut world, agent, "sendonly");
        let (holder, held) = (last(&world, side), last(&world, side.other()));
        assert!(holder.sends && !holder.receives, "{}", world.trace());
        assert!(!held.sends && held.receives);
        reinvite(&mut world, agent, "inactive");
        assert!(!last(&world, side).sends && !last(&world, side).receives);
        reinvite(&mut world, agent, "sendrecv");
        assert!(last(&world, side).sends && last(&world, side).receives);
    }
    world.act(0, testkit::Agent::hang_up);
    world.run_for(MINUTE);
    world.assert_settled();
}

#[test]
fn requests_pass_from_leg_to_leg_with_their_answers() {
    let mut world = talking();
    for (agent, method, token) in [
        (0, "INFO", Method::Info),
        (1, "INFO", Method::Info),
        (0, "MESSAGE", Method::Message),
        (1, "FOO", Method::Other),
    ] {
        world.act(agent, |agent, now| agent.request(now, method, "application/dtmf-relay", b"Signal=1"));
        world.run_for(Duration::from_secs(1));
        let other = &world.agents[1 - agent].seen;
        assert_eq!(other.requests.last(), Some(&token), "{}", world.trace());
        assert_eq!(&other.last.as_ref().expect("a message").body()[..], b"Signal=1");
        assert_eq!(world.agents[agent].seen.replies.last(), Some(&(token, 200)));
    }
    world.act(1, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "UPDATE", "application/sdp", &body);
    });
    world.run_for(Duration::from_secs(1));
    assert!(!last(&world, MediaSide::A).sends, "{}", world.trace());
    world.act(1, testkit::Agent::hang_up);
    world.run_for(MINUTE);
    world.assert_settled();
}

#[test]
fn a_reinvite_without_offer_is_answered_in_the_ack() {
    let mut world = talking();
    for agent in [0, 1] {
        world.act(agent, |agent, now| agent.request(now, "INVITE", "", b""));
        world.run_for(Duration::from_secs(1));
        let (asked, other) = (&world.agents[agent].seen, &world.agents[1 - agent].seen);
        let offer = asked.answer.as_ref().map(|answer| answer.body()).expect("an offer in the 200");
        assert!(String::from_utf8_lossy(&offer).contains("c=IN IP4 192.0.2.100"), "{}", world.trace());
        assert!(
            other.last.as_ref().is_some_and(|last| last.method() == Method::Ack && last.has_sdp()),
            "{}",
            world.trace()
        );
    }
    world.act(0, testkit::Agent::hang_up);
    world.run_for(MINUTE);
    world.assert_settled();
}

#[test]
fn offers_that_cross_get_491() {
    let mut world = talking();
    for agent in [0, 1] {
        world.act(agent, |agent, now| {
            let body = agent.describe("sendrecv");
            agent.request(now, "INVITE", "application/sdp", &body);
        });
    }
    world.run_for(Duration::from_secs(5));
    let mut finals = [world.agents[0].seen.finals.clone(), world.agents[1].seen.finals.clone()].concat();
    finals.sort_unstable();
    assert!(finals.contains(&491), "{finals:?} {}", world.trace());
    world.act(0, testkit::Agent::hang_up);
    world.run_for(MINUTE);
    assert_eq!(world.node.ended, world.node.made, "{}", world.trace());
}

#[test]
fn refer_is_passed_refused_or_followed_by_policy() {
    for (policy, expected) in [("pass", 200), ("refuse", 603), ("follow", 202)] {
        let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
        let toml = PARTNERS.replace("channels = 10", &format!("channels = 10\nrefer = \"{policy}\""));
        world.node.view = view(&toml);
        world.call("442071230000");
        world.run_for(Duration::from_secs(2));
        world.act(0, |agent, now| {
            let fill = |builder: &mut Builder| builder.add(Name::ReferTo, "<sip:+447700900000@example.com>");
            agent.request_in(now, 0, "REFER", "", b"", fill);
        });
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.agents[0].seen.replies, [(Method::Refer, expected)], "{}", world.trace());
    }
}

#[test]
fn an_operator_and_silence_of_the_media_end_both_legs() {
    for (input, reason) in [(Input::Hangup { reason: "operator" }, "operator"), (Input::MediaSilent, "no media")] {
        let mut world = talking();
        let now = world.now;
        world.node.input(now, &mut world.net, 0, input);
        world.run_for(MINUTE);
        world.assert_settled();
        for agent in &world.agents {
            assert_eq!(agent.seen.requests.last(), Some(&Method::Bye), "{}", world.trace());
        }
        assert_eq!((world.node.rows[0].ended_by, &*world.node.rows[0].reason), (EndedBy::Switch, reason));
    }
}

#[test]
fn the_duration_limit_of_a_trunk_ends_the_call() {
    let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
    world.node.view = view(&PARTNERS.replace("channels = 10", "channels = 10\nmax_call_seconds = 30"));
    world.call("442071230000");
    world.run_for(MINUTE * 2);
    world.assert_settled();
    let row = &world.node.rows[0];
    assert_eq!((&*row.reason, row.ended_by, row.duration_ms), ("duration limit", EndedBy::Switch, 30_000));
}

#[test]
fn a_caller_that_never_acknowledges_is_ended() {
    let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
    world.call("442071230000");
    world.run_for(Duration::from_millis(250));
    world.agents[0].script.deaf = true;
    world.run_for(MINUTE * 3);
    world.assert_settled();
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Bye], "{}", world.trace());
    assert_eq!(&*world.node.rows[0].reason, "no ack");
}

#[test]
fn session_timers_refresh_each_leg_and_find_a_dead_one() {
    let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
    world.node.view = view(&PARTNERS.replace("account = \"acme\"", "account = \"acme\"\nsession_expires = 90"));
    world.call("442071230000");
    world.run_for(MINUTE * 10);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    let refreshes = world.agents[0].seen.requests.len();
    assert!(refreshes >= 10, "{refreshes} {}", world.trace());
    world.agents[0].script.deaf = true;
    world.run_for(MINUTE * 4);
    world.assert_settled();
    assert_eq!(world.agents[1].seen.requests.last(), Some(&Method::Bye), "{}", world.trace());
}
