//! Sleeping, waking and running out asleep.

use super::*;
use crate::{Contact, Contacts, Limits, Register};
use proptest::prelude::*;
use sip::{Flow, Transport};

fn at(seconds: u64) -> Now {
    Now::default().after(Duration::from_secs(1000 + seconds))
}

fn bind(aor: &mut Aor, now: Now, uri: &str, expires: u32, cseq: u32) {
    let contacts = [Contact { uri, expires: Some(expires), ..Contact::default() }];
    let (local, remote) = (([192, 0, 2, 1], 5060).into(), ([198, 51, 100, 7], 4000).into());
    let user = aor.name().to_string();
    let request = Register {
        user: &user,
        contacts: Contacts::List(&contacts),
        expires: None,
        call_id: "a-call-id-of-usual-length@198.51.100.7",
        cseq,
        flow: Flow::new(Transport::Udp, local, remote),
        path: None,
        user_agent: Some("phone/1.0"),
    };
    aor.register(now, &request, &Limits::default()).unwrap();
}

#[test]
fn a_sleeper_wakes_as_it_was() {
    let (mut registrar, mut aor) = (Registrar::new(at(0), 10), Aor::new("alice"));
    bind(&mut aor, at(0), "sip:alice@198.51.100.7:4000;transport=udp", 100, 1);
    registrar.sleep(at(1), &aor).unwrap();
    assert!(registrar.contains("alice") && registrar.len() == 1);
    let woken = registrar.wake(at(2), "alice").unwrap();
    assert_eq!(woken.contacts(at(2).mono), aor.contacts(at(2).mono));
    assert!(!registrar.contains("alice") && registrar.is_empty() && registrar.wake(at(2), "alice").is_none());
}

#[test]
fn bindings_run_out_asleep_one_by_one() {
    let (mut registrar, mut aor) = (Registrar::new(at(0), 10), Aor::new("alice"));
    bind(&mut aor, at(0), "sip:a@h", 100, 1);
    bind(&mut aor, at(0), "sip:b@h", 200, 1);
    registrar.sleep(at(0), &aor).unwrap();
    assert_eq!(registrar.poll_timeout(), Some(at(100).mono));
    registrar.handle_timeout(at(100));
    assert_eq!(registrar.poll_effect(), Some(("alice".into(), Effect::Expired("sip:a@h".into()))));
    assert_eq!((registrar.poll_effect(), registrar.len()), (None, 1));
    registrar.handle_timeout(at(200));
    assert_eq!((registrar.len(), registrar.poll_timeout()), (0, None));
}

#[test]
fn a_phone_that_refreshes_often_stands_in_the_wheel_once() {
    let (mut registrar, mut aor) = (Registrar::new(at(0), 10), Aor::new("alice"));
    for round in 0..50 {
        bind(&mut aor, at(round * 10), "sip:a@h", 300, u32::try_from(round).unwrap());
        registrar.sleep(at(round * 10), &aor).unwrap();
        registrar.handle_timeout(at(round * 10 + 5));
        aor = registrar.wake(at(round * 10 + 5), "alice").expect("it never runs out");
        assert!(registrar.wheel.len() <= 1, "{}", registrar.wheel.len());
    }
    registrar.handle_timeout(at(10_000));
    assert!(registrar.slots.is_empty(), "one that stays awake leaves nothing behind");
}

#[test]
fn room_is_limited() {
    let mut registrar = Registrar::new(at(0), 1);
    let (mut alice, mut bob) = (Aor::new("alice"), Aor::new("bob"));
    bind(&mut alice, at(0), "sip:a@h", 100, 1);
    bind(&mut bob, at(0), "sip:b@h", 100, 1);
    registrar.sleep(at(0), &alice).unwrap();
    registrar.sleep(at(0), &alice).unwrap();
    assert_eq!(registrar.sleep(at(0), &bob), Err(Error::Full));
    assert_eq!(registrar.sleep(at(0), &Aor::new("nobody")), Ok(()));
}

#[test]
fn a_row_is_small() {
    let mut aor = Aor::new("alice");
    bind(&mut aor, at(0), "sip:alice@198.51.100.7:4000;transport=udp", 3600, 1);
    let row = aor.checkpoint(at(0)).unwrap();
    assert!(row.bytes() < 220, "{} bytes", row.bytes());
}

proptest! {
    /// However often each is woken and put to sleep again, it ends when its binding does, within a second.
    #[test]
    fn every_sleeper_ends_on_time(steps in prop::collection::vec((0..4usize, 60..400u32, 0..90u64), 1..80)) {
        let names = ["a", "b", "c", "d"];
        let mut registrar = Registrar::new(at(0), 10);
        let mut ends = [0u64; 4];
        let mut now = 0;
        for (cseq, (which, seconds, wait)) in steps.into_iter().enumerate() {
            now += wait;
            registrar.handle_timeout(at(now));
            for (index, name) in names.iter().enumerate() {
                prop_assert_eq!(registrar.contains(name), now < ends[index], "{} at {}", name, now);
            }
            let mut aor = registrar.wake(at(now), names[which]).unwrap_or_else(|| Aor::new(names[which]));
            bind(&mut aor, at(now), "sip:x@h", seconds, u32::try_from(cseq).unwrap());
            registrar.sleep(at(now), &aor).unwrap();
            ends[which] = now + u64::from(seconds);
            prop_assert!(registrar.wheel.len() <= 2 * names.len() + cseq);
        }
        registrar.handle_timeout(at(now + 500));
        prop_assert!(registrar.is_empty() && registrar.slots.is_empty() && registrar.wheel.is_empty());
    }
}
