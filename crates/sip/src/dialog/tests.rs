use super::*;
use bytes::Bytes;

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("valid")
}

fn invite(extra: &str) -> Message {
    message(&format!(
        "INVITE sip:b@us SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: \"A\" <sip:a@h>;tag=far\r\nTo: <sip:b@us>\r\n\
         Call-ID: c@h\r\nCSeq: 10 INVITE\r\nContact: <sip:a@192.0.2.1:5070>\r\n{extra}\r\n"
    ))
}

fn answer(code: u16, to_tag: &str, extra: &str) -> Message {
    message(&format!(
        "SIP/2.0 {code} x\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: \"A\" <sip:a@h>;tag=far\r\nTo: <sip:b@us>{to_tag}\r\n\
         Call-ID: c@h\r\nCSeq: 10 INVITE\r\n{extra}\r\n"
    ))
}

fn routes(message: &Message) -> Vec<&str> {
    message.values(Name::Route).collect()
}

fn next(dialog: &mut Dialog, method: Method) -> Message {
    let bytes = dialog.request(method, "SIP/2.0/UDP us;branch=z9hG4bK2", Some("<sip:us>"), 70).finish();
    let message = Message::parse(bytes).expect("valid");
    message.check().expect("a lawful request");
    message
}

#[test]
fn the_uas_side_mirrors_the_request() {
    let request = invite("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n");
    let mut dialog = Dialog::uas(&request, "near").expect("a dialog");
    assert!(dialog.is_early() && !dialog.is_secure());
    dialog.confirm_as_uas();
    assert!(!dialog.is_early());
    let bye = next(&mut dialog, Method::Bye);
    assert_eq!(bye.uri(), "sip:a@192.0.2.1:5070");
    assert_eq!(routes(&bye), ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]);
    assert_eq!(bye.get(Name::From), Some("<sip:b@us>;tag=near"));
    assert_eq!(bye.get(Name::To), Some("\"A\" <sip:a@h>;tag=far"));
    assert_eq!((bye.call_id(), bye.get(Name::CSeq)), ("c@h", Some("1 BYE")));
    assert_eq!((bye.get(Name::Contact), bye.get(Name::MaxForwards)), (Some("<sip:us>"), Some("70")));
    assert_eq!(dialog.next_hop(), "sip:p1;lr");
}

#[test]
fn the_uac_side_reverses_the_routes_and_counts_on() {
    let response = answer(200, ";tag=t", "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContact: <sip:b@192.0.2.2>\r\n");
    let mut dialog = Dialog::uac(&invite(""), &response).expect("a dialog");
    let update = next(&mut dialog, Method::Update);
    assert_eq!(routes(&update), ["<sip:p2;lr>", "<sip:p1;lr>"]);
    assert_eq!((update.uri(), update.get(Name::CSeq)), ("sip:b@192.0.2.2", Some("11 UPDATE")));
    assert_eq!((update.from_tag(), update.to_tag()), (Some("far"), Some("t")));
    assert!(dialog.matches(&message(
        "BYE sip:a@us SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK3\r\nFrom: <sip:b@us>;tag=t\r\nTo: <sip:a@h>;tag=far\r\n\
         Call-ID: c@h\r\nCSeq: 1 BYE\r\n\r\n"
    )));
    assert!(!dialog.matches(&answer(200, ";tag=other", "")));
}

#[test]
fn the_ack_of_a_2xx_has_the_number_of_its_invite() {
    let mut dialog = Dialog::uac(&invite(""), &answer(200, ";tag=t", "Contact: <sip:b@h2>\r\n")).expect("a dialog");
    let _ = next(&mut dialog, Method::Info);
    let ack = Message::parse(dialog.ack(10, "SIP/2.0/UDP us;branch=z9hG4bK9", 70).finish()).expect("valid");
    assert_eq!((ack.get(Name::CSeq), dialog.local_seq()), (Some("10 ACK"), 11));
}

#[test]
fn a_2xx_takes_the_route_set_anew() {
    let early = answer(180, ";tag=t", "Record-Route: <sip:old;lr>\r\n");
    let mut dialog = Dialog::uac(&invite(""), &early).expect("a dialog");
    assert!(dialog.is_early());
    assert_eq!(dialog.remote_target(), "sip:b@us");
    dialog.confirm_as_uac(&answer(200, ";tag=t", "Record-Route: <sip:new;lr>\r\nContact: <sip:b@h2>\r\n"));
    assert_eq!(dialog.route_set().collect::<Vec<_>>(), ["<sip:new;lr>"]);
    assert_eq!(dialog.remote_target(), "sip:b@h2");
    dialog.confirm_as_uac(&answer(200, ";tag=t", "Record-Route: <sip:later;lr>\r\n"));
    assert_eq!(dialog.route_set().collect::<Vec<_>>(), ["<sip:new;lr>"], "a re-INVITE changes no route");
}

#[test]
fn a_strict_router_becomes_the_request_uri() {
    let request = invite("Record-Route: <sip:strict;x=1?a=b>, <sip:p2;lr>\r\n");
    let mut dialog = Dialog::uas(&request, "near").expect("a dialog");
    let bye = next(&mut dialog, Method::Bye);
    assert_eq!(bye.uri(), "sip:strict;x=1");
    assert_eq!(routes(&bye), ["<sip:p2;lr>", "<sip:a@192.0.2.1:5070>"]);
}

#[test]
fn a_target_refresh_moves_the_target_and_nothing_else() {
    let mut dialog = Dialog::uas(&invite(""), "near").expect("a dialog");
    assert!(dialog.refresh_target(&answer(200, "", "Contact: \"x\" <sip:a@moved>;q=1\r\n")));
    assert_eq!(dialog.remote_target(), "sip:a@moved");
    assert!(!dialog.refresh_target(&answer(200, "", "")));
    assert_eq!(dialog.remote_target(), "sip:a@moved");
}

#[test]
fn requests_out_of_order_are_refused() {
    let mut dialog = Dialog::uas(&invite(""), "near").expect("a dialog");
    let cseq = |number, method| CSeq { number, method };
    assert_eq!(dialog.accept(cseq(9, Method::Info)).map_err(|reject| reject.code), Err(500));
    assert_eq!(dialog.accept(cseq(9, Method::Ack)), Ok(()));
    assert_eq!(dialog.accept(cseq(14, Method::Info)), Ok(()));
    assert_eq!(dialog.accept(cseq(14, Method::Info)), Ok(()), "a repeat, which a node that took over sees first");
    assert_eq!(dialog.accept(cseq(13, Method::Bye)).map_err(|reject| reject.code), Err(500));
    assert_eq!(dialog.remote_seq(), Some(14));
}

#[test]
fn what_forms_no_dialog() {
    let no_contact = message(
        "INVITE sip:b@us SIP/2.0\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@us>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n",
    );
    assert_eq!(Dialog::uas(&no_contact, "near"), None);
    for (code, tag) in [(100, ";tag=t"), (180, ""), (486, ";tag=t")] {
        assert_eq!(Dialog::uac(&invite(""), &answer(code, tag, "")), None, "{code}");
    }
    assert_eq!(Dialog::uac(&invite(""), &answer(200, "", "")).expect("RFC 2543").remote_tag(), "");
}

#[test]
fn a_node_that_takes_over_repeats_no_number() {
    let mut dialog = Dialog::uas(&invite(""), "near").expect("a dialog");
    let mut checkpoint = dialog.clone();
    for _ in 0..3 * RESERVED_SEQS {
        if dialog.ceiling() != checkpoint.ceiling() {
            checkpoint = dialog.clone();
        }
        let _ = next(&mut dialog, Method::Info);
        let mut heir = if dialog.ceiling() == checkpoint.ceiling() { checkpoint.clone() } else { dialog.clone() };
        heir.take_over(0);
        let _ = next(&mut heir, Method::Info);
        assert!(heir.local_seq() > dialog.local_seq());
        assert!(heir.local_seq() <= heir.ceiling());
    }
}

#[test]
fn sips_makes_a_secure_dialog() {
    let request = message(
        "INVITE sips:b@us SIP/2.0\r\nFrom: <sips:a@h>;tag=1\r\nTo: <sips:b@us>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sips:a@h>\r\n\r\n",
    );
    assert!(Dialog::uas(&request, "near").expect("a dialog").is_secure());
}

#[test]
fn no_number_is_shown() {
    let shown = format!("{:?}", Dialog::uas(&invite(""), "near").expect("a dialog"));
    assert!(!shown.contains("sip:") && !shown.contains("192.0.2.1"), "{shown}");
}
