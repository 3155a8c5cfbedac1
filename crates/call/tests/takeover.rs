//! Another node goes on with an answered call: both parties are asked in parallel to follow it.

use call::effect::{MediaSide, Moved, Steer};
use call::record::EndedBy;
use sip::{Message, Method, Name};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use testkit::tables::{PARTNERS, transfers, view};
use testkit::{Faults, Script, World};

const SECOND: Duration = Duration::from_secs(1);
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// The switch that takes over.
const HEIR: &str = "192.0.2.101";

fn talking_by(tables: Option<&str>, alice: Script, bob: Script) -> World {
    let mut world = World::new(5, Faults::default(), alice, vec![bob]);
    if let Some(tables) = tables {
        world.node.view = view(tables);
    }
    world.call("442071230000");
    world.run_for(SECOND * 2);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    world
}

fn talking(alice: Script, bob: Script) -> World {
    talking_by(None, alice, bob)
}

fn usual() -> World {
    talking(Script::default(), Script::default())
}

/// The last re-INVITE that a party got.
fn asked(world: &World, who: usize) -> Message {
    let mut invites = world.agents[who].seen.within.iter().rev();
    invites.find(|message| message.method() == Method::Invite).cloned().unwrap_or_else(|| panic!("{}", world.trace()))
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

fn version(body: &str) -> u64 {
    body.split(' ').nth(2).and_then(|version| version.parse().ok()).expect("an o= line")
}

fn steered(world: &World, side: MediaSide) -> Steer {
    world.node.steers.iter().rfind(|steer| steer.side == side).cloned().expect("steered")
}

/// The call ends by a BYE of `who`, and nothing is left.
fn end(mut world: World, who: usize) -> World {
    world.act(who, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended && world.agents[BOB].seen.ended, "{}", world.trace());
    world
}

#[test]
fn both_parties_follow_and_talk_on() {
    let mut world = usual();
    let before: Vec<_> = [ALICE, BOB].iter().map(|who| world.agents[*who].seen.sdp.clone().expect("told")).collect();
    world.run_for(SECOND * 58);
    world.node.steers.clear();
    world.fail_over(SECOND);
    let steers = world.node.steers.clone();
    assert_eq!(steers.len(), 2, "steered before anybody has answered");
    assert!(steers.iter().all(|steer| steer.sends && steer.receives && steer.remote.is_some()), "{steers:?}");
    world.run_for(SECOND * 2);
    for (who, before) in [ALICE, BOB].into_iter().zip(before) {
        let invite = asked(&world, who);
        assert!(invite.top_via().is_some_and(|via| via.host == HEIR), "{}", world.trace());
        assert!(invite.contact().is_some_and(|contact| contact.uri.contains(HEIR)));
        assert!(invite.cseq().is_some_and(|cseq| cseq.number >= 1_016), "{:?}", invite.cseq());
        let (was, is) = (String::from_utf8_lossy(&before).into_owned(), text(&invite));
        assert!(is.contains(&format!("c=IN IP4 {HEIR}")) && is.contains("a=sendrecv"), "{is}");
        assert!(version(&is) > version(&was), "{was}\n{is}");
        assert_eq!(was.split(' ').nth(1), is.split(' ').nth(1), "the same session");
        assert!(world.agents[who].seen.acks > 0);
    }
    let moved = &world.node.moved;
    assert_eq!(moved.len(), 2, "{moved:?}");
    assert!(moved.iter().all(|(_, outcome)| *outcome == Moved::Answered), "{moved:?}");
    assert_eq!((world.node.books.seized, world.node.books.anchored), (2, 1));
    world.run_for(SECOND * 30);
    let world = end(world, ALICE);
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!((row.takeovers, &*row.codec, row.ended_by), (1, "PCMA", EndedBy::Caller));
    assert!(row.duration_ms.abs_diff(91_700) < 500, "the talk goes on: {}", row.duration_ms);
    let opened: Vec<_> = world.node.opened.iter().map(|row| (row.attempt, row.is_final, row.takeovers)).collect();
    assert_eq!(opened, [(1, true, 0), (1, true, 1)], "opened on each node");
}

#[test]
fn the_state_is_protected_before_anybody_is_asked() {
    let mut world = usual();
    world.node.done.clear();
    world.fail_over(SECOND);
    assert_eq!(world.node.done, ["open", "C4", "C4", "INVITE again", "INVITE again"]);
    world.run_for(SECOND * 2);
    let done = &world.node.done[5..];
    assert_eq!(done.iter().filter(|what| *what == "C4").count(), 2, "one for each answer: {done:?}");
    end(world, BOB);
}

#[test]
fn a_second_node_takes_over_before_anybody_has_answered() {
    let mut world = usual();
    world.fail_over(SECOND);
    let first = world.node.address;
    world.fail_over(SECOND);
    assert_ne!(world.node.address, first);
    world.run_for(SECOND * 3);
    for who in [ALICE, BOB] {
        let invites: Vec<_> =
            world.agents[who].seen.within.iter().filter(|message| message.method() == Method::Invite).collect();
        let numbers: Vec<_> = invites.iter().map(|invite| invite.cseq().map_or(0, |cseq| cseq.number)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        let versions: Vec<_> = invites.iter().map(|invite| version(&text(invite))).collect();
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
        assert!(text(&asked(&world, who)).contains("192.0.2.102"));
    }
    let world = end(world, BOB);
    assert_eq!(world.node.rows.iter().find(|row| row.is_final).map(|row| row.takeovers), Some(2));
}

#[test]
fn a_node_that_took_over_and_died_with_all_that_it_knew_is_passed_over() {
    let mut world = usual();
    world.node.is_dead = true;
    world.run_for(SECOND);
    world.fail_over_to(SECOND, true);
    world.run_for(SECOND);
    assert!(text(&asked(&world, ALICE)).contains(HEIR), "{}", world.trace());
    world.node.is_dead = true;
    world.run_for(SECOND);
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    assert!(text(&asked(&world, ALICE)).contains("192.0.2.102"), "{}", world.trace());
    // What the wire has seen rises.
    end(world, ALICE);
}

#[test]
fn a_number_that_is_behind_the_one_of_another_node_is_passed_over() {
    let mut world = usual();
    world.fail_over_to(SECOND, true);
    world.run_for(SECOND);
    for who in [ALICE, BOB] {
        world.agents[who].script.moves = vec![(500, &[])];
    }
    world.fail_over(SECOND);
    world.run_for(SECOND * 4);
    for who in [ALICE, BOB] {
        let numbers: Vec<_> = world.agents[who].seen.within.iter().filter_map(|message| message.cseq()).collect();
        let last = numbers.len() - 1;
        assert!(numbers[last].number >= numbers[last - 1].number + 1_000, "{numbers:?}");
    }
    end(world, ALICE);
}

#[test]
fn what_the_former_owner_said_unprotected_is_numbered_below() {
    let bob = Script { broods: Some(SECOND * 60), ..Script::default() };
    let mut world = talking(Script::default(), bob);
    world.act(ALICE, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(Duration::from_millis(200));
    let former = asked(&world, BOB);
    world.agents[BOB].script.broods = None;
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(200));
    let next = asked(&world, BOB);
    assert!(version(&text(&next)) > version(&text(&former)), "{}\n{}", text(&former), text(&next));
    assert!(next.cseq().map(|cseq| cseq.number) > former.cseq().map(|cseq| cseq.number));
    end(world, ALICE);
}

#[test]
fn who_hung_up_meanwhile_has_ended_the_call_when_it_was_last_heard() {
    let mut world = usual();
    world.run_for(SECOND * 58);
    world.agents[BOB].forget();
    world.run_for(SECOND * 2);
    world.fail_over(SECOND * 2);
    let over = world.now.wall.0 - 2_000;
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.requests.contains(&Method::Bye), "{}", world.trace());
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!((&*row.reason, row.ended_by, row.ended.0), ("ended_while_down", EndedBy::Callee, over));
    assert!(row.duration_ms.abs_diff(59_700) < 500, "{}", row.duration_ms);
    assert!(world.node.moved.contains(&(world.agents[BOB].address, Moved::Gone)), "{:?}", world.node.moved);
}

#[test]
fn a_party_that_says_nothing_is_gone_and_the_other_one_is_left() {
    let mut world = usual();
    world.agents[BOB].script.deaf = true;
    world.run_for(SECOND * 8);
    world.fail_over(SECOND * 4);
    let over = world.now.wall.0 - 4_000;
    world.run_for(SECOND * 200);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended, "{}", world.trace());
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!((&*row.reason, row.ended_by, row.ended.0), ("ended_while_down", EndedBy::Switch, over));
    assert!(world.node.moved.contains(&(world.agents[BOB].address, Moved::Silent)), "{:?}", world.node.moved);
}

#[test]
fn one_that_only_thinks_about_it_is_not_waited_for_for_ever() {
    let bob = Script { broods: Some(Duration::from_millis(50)), ..Script::default() };
    let mut world = talking(Script::default(), bob);
    world.fail_over(SECOND);
    world.run_for(SECOND * 200);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended && world.agents[BOB].seen.ended, "{}", world.trace());
}

#[test]
fn a_challenge_is_answered_with_what_the_trunk_knows() {
    let challenge = "Digest realm=\"carrier\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let tables = PARTNERS.replace(
        "timeout_seconds = 4",
        "register = { registrar = \"192.0.2.2\", username = \"us\", password = \"pw\" }",
    );
    let mut world = talking_by(Some(&tables), Script::default(), Script::default());
    let asks: (u16, &'static [(&str, &str)]) = (407, Box::leak(Box::new([("Proxy-Authenticate", challenge)])));
    // The second question comes after a pause, and so is no refusal of the first answer.
    world.agents[BOB].script.moves = vec![asks, (491, &[]), asks];
    world.fail_over(SECOND);
    world.run_for(SECOND * 6);
    let invite = asked(&world, BOB);
    assert!(invite.get(Name::ProxyAuthorization).is_some_and(|value| value.contains("username=\"us\"")), "{invite:?}");
    assert!(world.agents[BOB].script.moves.is_empty(), "{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking(), "{}", world.trace());
    end(world, ALICE);
}

#[test]
fn one_that_asks_for_more_gets_it() {
    for (code, headers) in [
        (491, &[] as &[(&str, &str)]),
        (503, &[("Retry-After", "3")]),
        (503, &[]),
        (500, &[("Retry-After", "2")]),
        (422, &[("Min-SE", "2400")]),
        (488, &[]),
    ] {
        for who in [ALICE, BOB] {
            let mut world = usual();
            world.agents[who].script.moves = vec![(code, headers)];
            world.fail_over(SECOND);
            world.run_for(SECOND * 8);
            let tries = world.agents[who].seen.requests.iter().filter(|method| **method == Method::Invite).count();
            assert_eq!(tries, if who == BOB { 3 } else { 2 }, "{code} {who}\n{}", world.trace());
            assert!(world.agents.iter().all(testkit::Agent::is_talking), "{code} {who}\n{}", world.trace());
            let busy = world.node.moved.contains(&(world.agents[who].address, Moved::Busy));
            assert_eq!(busy, code == 503, "{:?}", world.node.moved);
            if code == 422 {
                assert_eq!(asked(&world, who).session_expires().map(|expires| expires.seconds), Some(2_400));
            }
            end(world, ALICE);
        }
    }
}

#[test]
fn one_that_never_has_time_is_not_asked_for_ever() {
    let mut world = usual();
    world.agents[BOB].script.moves = vec![(503, &[]); 50];
    world.fail_over(SECOND);
    world.run_for(SECOND * 300);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended && world.agents[BOB].seen.ended, "{}", world.trace());
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!(&*row.reason, "party does not follow");
}

#[test]
fn a_hold_stays_a_hold() {
    let mut world = usual();
    world.act(ALICE, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(SECOND);
    let before = [MediaSide::A, MediaSide::B].map(|side| steered(&world, side));
    world.node.steers.clear();
    world.fail_over(SECOND);
    let after = [MediaSide::A, MediaSide::B].map(|side| steered(&world, side));
    assert_eq!(before, after, "steered as it was");
    world.run_for(SECOND * 2);
    assert!(text(&asked(&world, BOB)).contains("a=sendonly"), "{}", text(&asked(&world, BOB)));
    end(world, BOB);
}

#[test]
fn media_that_bypasses_us_goes_on_as_it_is() {
    let tables = PARTNERS.replace("account = \"acme\"\n", "account = \"acme\"\nmedia = \"bypass\"\n");
    let mut world = talking_by(Some(&tables), Script::default(), Script::default());
    world.node.steers.clear();
    world.fail_over(SECOND);
    world.run_for(SECOND * 2);
    for (who, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let told = text(&asked(&world, who));
        assert!(told.contains(&format!("c=IN IP4 {}", world.agents[other].address.ip())), "{told}");
    }
    assert_eq!((world.node.steers.len(), world.node.books.anchored), (0, 0));
    end(world, ALICE);
}

#[test]
fn who_moves_its_media_beside_us_is_told_of_to_the_other() {
    let tables = PARTNERS.replace("account = \"acme\"\n", "account = \"acme\"\nmedia = \"bypass\"\n");
    let mut world = talking_by(Some(&tables), Script::default(), Script::default());
    world.agents[BOB].script.port = 4_100;
    world.fail_over(SECOND);
    world.run_for(SECOND * 5);
    assert!(text(&asked(&world, ALICE)).contains("m=audio 4100"), "{}\n{}", text(&asked(&world, ALICE)), world.trace());
    end(world, ALICE);
}

#[test]
fn only_what_was_agreed_is_offered_and_more_to_one_that_refuses_that() {
    let mut world = talking(Script::default(), Script { formats: "0 101", ..Script::default() });
    world.agents[ALICE].script.moves = vec![(488, &[])];
    world.agents[BOB].script.moves = vec![(488, &[])];
    world.fail_over(SECOND);
    world.run_for(SECOND * 2);
    let offers = |who: usize| -> Vec<String> {
        let within = world.agents[who].seen.within.iter().filter(|message| message.method() == Method::Invite);
        within
            .filter_map(|message| text(message).lines().find(|line| line.starts_with("m=")).map(str::to_owned))
            .collect()
    };
    let formats = |line: &String| line.split(" RTP/AVP ").nth(1).map(str::to_owned).unwrap_or_default();
    assert_eq!(offers(BOB).iter().map(formats).collect::<Vec<_>>(), ["0 101", "8 0 101"], "{}", world.trace());
    assert_eq!(offers(ALICE).iter().map(formats).collect::<Vec<_>>(), ["0 101", "0 101"]);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    end(world, ALICE);
}

#[test]
fn every_stream_moves() {
    let video = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let script = Script { more_sdp: video, ..Script::default() };
    let mut world = talking(script.clone(), script);
    world.node.steers.clear();
    world.fail_over(SECOND);
    assert_eq!(world.node.steers.len(), 4, "{:?}", world.node.steers);
    world.run_for(SECOND * 2);
    for who in [ALICE, BOB] {
        let told = text(&asked(&world, who));
        let ports: Vec<_> =
            told.lines().filter(|line| line.starts_with("m=")).map(|line| line.split(' ').nth(1)).collect();
        assert!(
            ports.len() == 2 && ports[0] != ports[1] && !ports.contains(&Some("4000")) && !ports.contains(&Some("0")),
            "{told}"
        );
    }
    end(world, BOB);
}

#[test]
fn an_answer_that_is_sent_again_is_acknowledged_again() {
    let mut world = usual();
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(1));
    // The ACKs get lost.
    world.net.set_faults(Faults { loss: 1_000, ..Faults::default() });
    world.run_for(Duration::from_millis(2));
    world.net.set_faults(Faults::default());
    world.run_for(SECOND * 40);
    assert!(world.agents.iter().all(|agent| agent.seen.timeouts == 0 && agent.is_talking()), "{}", world.trace());
    end(world, ALICE);
}

#[test]
fn a_session_that_ran_out_while_nobody_was_there_begins_anew() {
    let mut world = usual();
    world.node.is_dead = true;
    world.run_for(SECOND * 2_000);
    world.fail_over(SECOND * 2_000);
    world.run_for(SECOND * 10);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    let before = world.agents[ALICE].seen.requests.len();
    world.run_for(SECOND * 1_000);
    assert!(world.agents[ALICE].seen.requests.len() > before, "it is refreshed again\n{}", world.trace());
    end(world, ALICE);
}

#[test]
fn the_longest_call_is_as_long_as_on_one_node() {
    let mut world = usual();
    // Far from the last refresh, and so from the last checkpoint.
    world.run_for(SECOND * 7_600);
    world.fail_over(SECOND);
    world.run_for(SECOND * 6_950);
    world.assert_settled();
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!(&*row.reason, "duration limit");
    assert!(row.duration_ms.abs_diff(4 * 3_600 * 1_000) < 2_000, "{}", row.duration_ms);
}

#[test]
fn without_ports_the_call_ends() {
    let mut world = usual();
    world.node.policy.no_ports = true;
    world.fail_over(SECOND);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended && world.agents[BOB].seen.ended, "{}", world.trace());
    assert_eq!(&*world.node.rows[0].reason, "no media port free");
}

#[test]
fn what_the_parties_want_meanwhile_is_heard() {
    let mut world = talking(Script::default(), Script { broods: Some(SECOND * 4), ..Script::default() });
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(500));
    for (method, body, code) in [("INFO", "x", 200), ("UPDATE", "", 200), ("UPDATE", "sdp", 491)] {
        world.act(ALICE, |agent, now| {
            let body = if body == "sdp" { agent.describe("sendonly") } else { body.into() };
            let kind = if method == "INFO" { "text/plain" } else { "application/sdp" };
            agent.request(now, method, kind, &body);
        });
        world.run_for(Duration::from_millis(200));
        let replies = &world.agents[ALICE].seen.replies;
        assert_eq!(replies.last(), Some(&(Method::of(method.as_bytes()), code)), "{}", world.trace());
    }
    world.act(ALICE, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(Duration::from_millis(200));
    assert_eq!(world.agents[ALICE].seen.finals.last(), Some(&491), "{}", world.trace());
    let world = end(world, ALICE);
    assert_eq!(&*world.node.rows[0].reason, "bye");
}

#[test]
fn a_transfer_under_way_is_taken_back_and_the_call_follows() {
    let slow = Script { answers: Vec::new(), ..Script::default() };
    let mut world =
        World::new(5, Faults::default(), Script::default(), vec![Script::default(), slow, Script::default()]);
    world.node.view = transfers();
    world.call("442071230000");
    world.run_for(SECOND * 2);
    world.act(BOB, |agent, now| agent.refer(now, "<sip:+4930123456@example.com>"));
    world.run_for(SECOND);
    world.fail_over(SECOND);
    world.run_for(SECOND * 10);
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(503, true)), "{}", world.trace());
    assert!(world.agents[CAROL].seen.ended, "its INVITE is taken back\n{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking());
    assert!(text(&asked(&world, ALICE)).contains(HEIR) && text(&asked(&world, BOB)).contains(HEIR));
    end(world, BOB);
}

#[test]
fn who_was_joined_and_not_told_hears_it_from_the_new_node() {
    let mut world = World::new(
        5,
        Faults::default(),
        Script { busy: 1, ..Script::default() },
        vec![Script::default(), Script::default(), Script::default()],
    );
    world.node.view = transfers();
    world.call("442071230000");
    world.run_for(SECOND * 2);
    world.act(BOB, |agent, now| agent.refer(now, "<sip:+4930123456@example.com>"));
    world.run_for(Duration::from_millis(400));
    assert!(world.agents[CAROL].is_talking(), "{}", world.trace());
    world.fail_over(SECOND);
    world.run_for(SECOND * 5);
    assert!(world.agents[ALICE].is_talking() && world.agents[CAROL].is_talking(), "{}", world.trace());
    assert!(world.agents[BOB].seen.ended);
    let carol = SocketAddr::new(world.agents[CAROL].address.ip(), 4000);
    assert_eq!(steered(&world, MediaSide::B).remote, Some(carol));
    world.act(ALICE, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
}

#[test]
fn a_call_knows_what_it_holds_and_whom_it_will_write_to() {
    let world = usual();
    let call = &world.node.calls[0];
    let channels: Vec<_> = call.channels().map(|trunk| trunk.name.to_string()).collect();
    assert_eq!(channels, ["ingress", "egress"]);
    let peers: Vec<IpAddr> = call.peers().iter().map(SocketAddr::ip).collect();
    assert_eq!(peers, [world.agents[ALICE].address.ip(), world.agents[BOB].address.ip()]);
    assert!(call.is_answered() && !call.is_emergency());
}

/// A call to a line whose connection another node holds.
fn talking_to_line() -> World {
    let tables = format!(
        "{PARTNERS}\n[[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"x\"\n\
         [[number]]\nnumber = \"+442071230000\"\naccount = \"acme\"\nto = \"user:alice\"\n"
    );
    let mut world = World::new(5, Faults::default(), Script::default(), vec![Script::default()]);
    world.node.view = view(&tables);
    world.node.policy.contacts = vec![world.agents[BOB].address];
    world.node.policy.edge = 7;
    world.call("442071230000");
    world
}

#[test]
fn a_connection_that_a_third_node_holds_is_gone_on_with_and_else_gone_round() {
    for is_down in [false, true] {
        let mut world = talking_to_line();
        world.run_for(SECOND * 2);
        assert!(world.agents[BOB].is_talking() && world.node.through > 0, "{}", world.trace());
        world.node.through = 0;
        world.node.policy.is_edge_down = is_down;
        world.fail_over(SECOND);
        world.run_for(SECOND * 2);
        assert!(world.agents.iter().all(testkit::Agent::is_talking), "{is_down}\n{}", world.trace());
        assert!(text(&asked(&world, BOB)).contains(HEIR), "{}", world.trace());
        assert_eq!(world.node.through > 0, !is_down);
        end(world, ALICE);
    }
}

#[test]
fn where_a_line_is_now_is_asked_again_while_it_rings() {
    let mut world = talking_to_line();
    world.run_for(Duration::from_millis(200));
    world.node.policy.edge = 0;
    world.fail_over(SECOND);
    world.run_for(SECOND * 2);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    let invite = world.agents[BOB].seen.invite.as_ref().expect("called");
    assert!(invite.contact().is_some_and(|contact| contact.uri.contains(HEIR)));
    end(world, ALICE);
}
