//! The rules of RFC 3261 §10.3, one a test.

use super::*;
use crate::Listed;
use proptest::prelude::*;
use sip::Flow;
use std::time::Duration;

const LIMITS: Limits =
    Limits { max_contacts: 3, min_expires: 60, max_expires: 7200, default_expires: 3600, overflow: Overflow::Refuse };

fn flow(port: u16, connection: u64) -> Flow {
    let transport = if connection == 0 { Transport::Udp } else { Transport::Tcp };
    Flow {
        transport,
        local: ([192, 0, 2, 1], 5060).into(),
        remote: ([198, 51, 100, 7], port).into(),
        connection,
        edge: 0,
    }
}

fn at(seconds: u64) -> Now {
    Now::default().after(Duration::from_secs(1000 + seconds))
}

fn contact(uri: &str) -> Contact<'_> {
    Contact { uri, ..Contact::default() }
}

fn request<'a>(contacts: &'a [Contact<'a>], call_id: &'a str, cseq: u32) -> Register<'a> {
    Register {
        user: "alice",
        contacts: Contacts::List(contacts),
        expires: None,
        call_id,
        cseq,
        flow: flow(4000, 0),
        path: None,
        user_agent: None,
    }
}

fn alice() -> Aor {
    Aor::new("sip:alice@example.net")
}

/// Registers one contact for so many seconds.
fn bind(aor: &mut Aor, now: Now, uri: &str, expires: u32, cseq: u32) -> Result<Accepted, Reject> {
    let contacts = [Contact { expires: Some(expires), ..contact(uri) }];
    aor.register(now, &request(&contacts, "call", cseq), &LIMITS)
}

fn uris(aor: &Aor, now: Now) -> Vec<String> {
    aor.contacts(now.mono).iter().map(|binding| binding.contact.to_string()).collect()
}

fn code(result: Result<Accepted, Reject>) -> u16 {
    result.map_or_else(|reject| reject.code, |_| 200)
}

#[test]
fn the_contact_decides_on_its_expiry_then_the_header_then_the_default() {
    let mut aor = alice();
    let contacts = [Contact { expires: Some(120), ..contact("sip:a@h") }, contact("sip:b@h")];
    let with_header = Register { expires: Some(240), ..request(&contacts, "call", 1) };
    let accepted = aor.register(at(0), &with_header, &LIMITS).unwrap();
    assert_eq!(accepted.bindings.iter().map(|listed| listed.expires).collect::<Vec<_>>(), [120, 240]);
    let contacts = [contact("sip:b@h"), Contact { expires: Some(u32::MAX), ..contact("sip:c@h") }];
    let accepted = aor.register(at(0), &request(&contacts, "call", 2), &LIMITS).unwrap();
    assert_eq!(accepted.bindings.iter().map(|listed| listed.expires).collect::<Vec<_>>(), [120, 3600, 7200]);
}

#[test]
fn a_brief_expiry_is_answered_with_423_and_changes_nothing() {
    let mut aor = alice();
    let contacts = [contact("sip:a@h"), Contact { expires: Some(59), ..contact("sip:b@h") }];
    let refused = aor.register(at(0), &request(&contacts, "call", 1), &LIMITS).unwrap_err();
    assert_eq!((refused.code, refused.min_expires, aor.is_empty()), (423, Some(60), true));
    assert_eq!(code(bind(&mut aor, at(0), "sip:a@h", 60, 1)), 200);
}

#[test]
fn expiry_zero_removes_and_a_fetch_lists() {
    let mut aor = alice();
    bind(&mut aor, at(0), "sip:a@h", 100, 1).unwrap();
    let fetch = Register { contacts: Contacts::None, ..request(&[], "other", 1) };
    let listed = Listed { uri: "sip:a@h".into(), q: 1000, expires: 60, instance: None, reg_id: None };
    assert_eq!(aor.register(at(40), &fetch, &LIMITS).unwrap().bindings.as_slice(), [listed]);
    assert!(bind(&mut aor, at(50), "sip:a@h", 0, 2).unwrap().bindings.is_empty());
    assert_eq!(code(bind(&mut aor, at(50), "sip:never@h", 0, 3)), 200);
    assert_eq!(aor.poll_effect(), Some(Effect::Bound("sip:a@h".into())));
    assert_eq!(aor.poll_effect(), Some(Effect::Removed("sip:a@h".into())));
    assert_eq!(aor.poll_effect(), None);
}

#[test]
fn within_a_call_id_the_cseq_has_to_grow() {
    let mut aor = alice();
    bind(&mut aor, at(0), "sip:a@h", 100, 7).unwrap();
    assert_eq!(code(bind(&mut aor, at(1), "sip:a@h", 100, 7)), 500);
    assert_eq!(code(bind(&mut aor, at(1), "sip:a@h", 0, 6)), 500);
    assert_eq!(aor.poll_timeout(), Some(at(100).mono), "a refused request refreshes nothing");
    let contacts = [contact("sip:a@h")];
    assert_eq!(code(aor.register(at(1), &request(&contacts, "after a restart", 1), &LIMITS)), 200);
}

#[test]
fn the_wildcard_needs_expires_zero_and_order() {
    let mut aor = alice();
    bind(&mut aor, at(0), "sip:a@h", 100, 7).unwrap();
    let all = |expires, cseq| Register { contacts: Contacts::Wildcard, expires, ..request(&[], "call", cseq) };
    assert_eq!(code(aor.register(at(1), &all(None, 8), &LIMITS)), 400);
    assert_eq!(code(aor.register(at(1), &all(Some(60), 8), &LIMITS)), 400);
    assert_eq!(code(aor.register(at(1), &all(Some(0), 7), &LIMITS)), 500);
    assert_eq!((code(aor.register(at(1), &all(Some(0), 8), &LIMITS)), aor.is_empty()), (200, true));
}

#[test]
fn only_the_owner_registers() {
    let contacts = [contact("sip:a@h")];
    let mallory = Register { user: "mallory", ..request(&contacts, "call", 1) };
    assert_eq!(code(alice().register(at(0), &mallory, &LIMITS)), 403);
    assert_eq!(code(Aor::new("alice").register(at(0), &request(&contacts, "call", 1), &LIMITS)), 200);
}

#[test]
fn one_contact_too_many_is_refused_or_replaces_the_oldest() {
    let mut aor = alice();
    for (second, uri) in ["sip:a@h", "sip:b@h", "sip:c@h"].iter().enumerate() {
        bind(&mut aor, at(second as u64), uri, 100, 1).unwrap();
    }
    assert_eq!(code(bind(&mut aor, at(9), "sip:d@h", 100, 2)), 403);
    assert_eq!(code(bind(&mut aor, at(9), "sip:a@h", 100, 2)), 200);
    let contacts = [contact("sip:d@h")];
    let limits = Limits { overflow: Overflow::ReplaceOldest, ..LIMITS };
    assert_eq!(code(aor.register(at(10), &request(&contacts, "call", 3), &limits)), 200);
    assert_eq!(uris(&aor, at(10)), ["sip:d@h", "sip:a@h", "sip:c@h"]);
    let flood = [contact("sip:1@h"), contact("sip:2@h"), contact("sip:3@h"), contact("sip:4@h")];
    assert_eq!(code(aor.register(at(10), &request(&flood, "call", 4), &limits)), 403);
}

#[test]
fn contacts_come_by_q_and_then_by_the_latest_refresh() {
    let mut aor = alice();
    for (second, uri, q) in [(0, "sip:low@h", Some(100)), (1, "sip:first@h", None), (2, "sip:second@h", Some(1000))] {
        let contacts = [Contact { q, ..contact(uri) }];
        aor.register(at(second), &request(&contacts, uri, 1), &LIMITS).unwrap();
    }
    assert_eq!(uris(&aor, at(3)), ["sip:second@h", "sip:first@h", "sip:low@h"]);
}

#[test]
fn an_instance_that_changes_its_port_keeps_one_binding() {
    let mut aor = alice();
    let phone = |uri| Contact { instance: Some("<urn:uuid:1>"), reg_id: Some(1), ..contact(uri) };
    aor.register(at(0), &request(&[phone("sip:a@h:1000")], "one", 1), &LIMITS).unwrap();
    aor.register(at(1), &request(&[phone("sip:a@h:2000")], "two", 1), &LIMITS).unwrap();
    assert_eq!(uris(&aor, at(1)), ["sip:a@h:2000"]);
    let second_flow = Contact { reg_id: Some(2), ..phone("sip:a@h:3000") };
    aor.register(at(2), &request(&[second_flow], "three", 1), &LIMITS).unwrap();
    assert_eq!(uris(&aor, at(2)).len(), 2);
}

#[test]
fn bindings_run_out_and_tell_so() {
    let mut aor = alice();
    bind(&mut aor, at(0), "sip:a@h", 100, 1).unwrap();
    bind(&mut aor, at(0), "sip:b@h", 200, 1).unwrap();
    aor.handle_timeout(at(99));
    assert_eq!(uris(&aor, at(99)).len(), 2);
    assert_eq!(uris(&aor, at(100)), ["sip:b@h"], "not even before the timeout is handled");
    aor.handle_timeout(aor.poll_timeout().map(|mono| Now { mono, ..at(100) }).unwrap());
    let effects: Vec<_> = std::iter::from_fn(|| aor.poll_effect()).collect();
    assert_eq!(effects[2..], [Effect::Expired("sip:a@h".into())]);
    assert_eq!(aor.poll_timeout(), Some(at(200).mono));
}

#[test]
fn a_closed_connection_is_forgotten_and_a_browser_with_it() {
    let mut aor = alice();
    let contacts = [contact("sip:a@h")];
    aor.register(at(0), &Register { flow: flow(4000, 9), ..request(&contacts, "one", 1) }, &LIMITS).unwrap();
    let browser = [contact("sip:b@x.invalid")];
    let ws = Flow { transport: Transport::Wss, ..flow(4001, 9) };
    aor.register(at(0), &Register { flow: ws, ..request(&browser, "two", 1) }, &LIMITS).unwrap();
    aor.handle_closed(8);
    assert_eq!(uris(&aor, at(0)).len(), 2);
    aor.handle_closed(9);
    assert_eq!(uris(&aor, at(0)), ["sip:a@h"]);
    assert_eq!(aor.contacts(at(0).mono)[0].flow.connection, 0);
}

#[test]
fn what_is_no_uri_or_too_long_is_refused() {
    let long = format!("sip:{}@h", "x".repeat(MAX_URI_BYTES));
    for uri in ["", "nonsense", "sip:", "sip:a b@h", long.as_str()] {
        assert_eq!(code(bind(&mut alice(), at(0), uri, 100, 1)), 400, "{uri:.40}");
    }
}

#[test]
fn nothing_private_reaches_a_log() {
    let mut aor = alice();
    bind(&mut aor, at(0), "sip:+442071230000@198.51.100.7", 100, 1).unwrap();
    let shown = format!("{:?}", aor.contacts(at(0).mono));
    assert!(!shown.contains("4420") && !shown.contains("198.51"), "{shown}");
}

#[test]
fn a_restored_address_of_record_behaves_as_the_first_but_for_its_connections() {
    let mut aor = alice();
    let contacts = [Contact { q: Some(500), instance: Some("<urn:uuid:1>"), reg_id: Some(1), ..contact("sip:a@h") }];
    let asked = Register { flow: flow(4000, 9), path: Some("<sip:p;lr>"), ..request(&contacts, "call", 5) };
    aor.register(at(0), &asked, &LIMITS).unwrap();
    let row = aor.checkpoint(at(10)).unwrap();
    assert_eq!(row.expires.0, at(3600).wall.0);
    let woken = Aor::wake("sip:alice@example.net", &row, at(20)).unwrap();
    assert_eq!(woken.contacts(at(20).mono), aor.contacts(at(20).mono));
    // Another node: its monotonic clock began elsewhere.
    let there = Now { mono: Instant::from_micros(5), wall: at(20).wall };
    let mut restored = Aor::restore("sip:alice@example.net", &row, there).unwrap();
    assert_eq!(
        (restored.contacts(there.mono)[0].flow.connection, restored.contacts(there.mono)[0].seconds_left(there.mono)),
        (0, 3580)
    );
    let again = Register { ..request(&contacts, "call", 5) };
    assert_eq!(code(restored.register(there, &again, &LIMITS)), 500, "the CSeq rule survives");
}

proptest! {
    /// The machine against a model that is a plain list, under any order of requests and waits.
    #[test]
    fn it_agrees_with_a_plain_list(steps in prop::collection::vec((0..5usize, 0..3u32, 0..80u64), 0..60)) {
        let names = ["sip:a@h", "sip:b@h", "sip:c@h", "sip:d@h", "sip:e@h"];
        let (mut aor, mut model): (Aor, Vec<(usize, u64)>) = (alice(), Vec::new());
        let (mut now, mut cseq) = (0, 0);
        for (which, kind, wait) in steps {
            now += wait;
            cseq += 1;
            model.retain(|(_, until)| now < *until);
            let seconds = [0, 60, 90][kind as usize];
            let mut next = model.clone();
            next.retain(|(held, _)| *held != which);
            if seconds > 0 { next.push((which, now + seconds)) }
            let fits = next.len() <= LIMITS.max_contacts;
            if fits { model = next }
            let answer = bind(&mut aor, at(now), names[which], u32::try_from(seconds).unwrap(), cseq);
            prop_assert_eq!(code(answer), if fits { 200 } else { 403 });
            let mut held = uris(&aor, at(now));
            held.sort();
            let mut expected: Vec<_> = model.iter().map(|(which, _)| names[*which].to_owned()).collect();
            expected.sort();
            prop_assert_eq!(held, expected);
            prop_assert_eq!(aor.poll_timeout(), model.iter().map(|(_, until)| at(*until).mono).min());
            if let Some(row) = aor.checkpoint(at(now)) {
                aor = Aor::wake("sip:alice@example.net", &row, at(now)).unwrap();
            }
        }
    }
}
