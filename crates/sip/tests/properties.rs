//! What holds for every input: nothing panics, and the ways in which the same bytes can be read agree.

#![allow(clippy::expect_used, reason = "a test")]

use bytes::Bytes;
use proptest::prelude::*;
use sip::addr::NameAddr;
use sip::dialog::Dialog;
use sip::digest::{Challenge, Challenger, Credentials, Ha1};
use sip::frame::{Frame, FrameError, Framer};
use sip::multipart::Multipart;
use sip::peek::Peek;
use sip::uri::Uri;
use sip::via::Via;
use sip::{Builder, Message, Method, Name};

/// Touches everything that can be read from a message.
fn read_all(bytes: &[u8]) {
    let _ = Peek::of(bytes);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else { return };
    let _ = (message.check(), message.cseq(), message.from(), message.to(), message.contact(), message.top_via());
    let _ =
        (message.session_expires(), message.min_se(), message.max_forwards(), message.retry_after(), message.q850());
    let _ = (
        message.sdp(),
        message.accepts_sdp(),
        message.body_is_unsupported(&[]),
        message.uri(),
        message.reason_phrase(),
    );
    let _ = (Dialog::uas(&message, "t"), Dialog::uac(&message, &message), Challenge::choose(&message));
    let _ = Credentials::of(&message, "r", false);
    for field in message.fields() {
        let value = std::str::from_utf8(message.field_value(field)).unwrap_or("");
        read_value(value);
    }
    let mut copy = Builder::request(Method::Other, "sip:h");
    for field in message.fields() {
        copy.field_ref(&message, field);
    }
    let _ = Message::parse(copy.finish());
    let _ = Message::parse(Builder::response(&message, 400, None, "t").finish());
}

fn read_value(value: &str) {
    let _ =
        (Uri::parse(value).map(|uri| (uri.number(), uri.ip(), uri.transport(), uri.is_emergency())), Via::parse(value));
    let _ = NameAddr::parse(value).map(|addr| (addr.display_text(), addr.tag().map(str::len)));
    let _ = Credentials::parse(value).map(|credentials| credentials.username());
    let _ = sip::header::RAck::parse(value);
    let _ = sip::header::Replaces::parse(value);
    let _ = Multipart::parse(value, Bytes::copy_from_slice(value.as_bytes()));
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn uri() -> impl Strategy<Value = String> {
    let host =
        prop_oneof!["[a-z]{1,8}(\\.[a-z]{1,5}){0,2}", Just("192.0.2.1".to_owned()), Just("[2001:db8::1]".to_owned())];
    let user = "([a-zA-Z0-9&=+$,;?/_.!~*'()-]{1,12}(:[a-z]{1,4})?@)?";
    (user, host, proptest::option::of(1_u16..), "(;[a-z]{1,5}(=[a-z0-9]{1,5})?){0,3}").prop_map(
        |(user, host, port, params)| {
            format!("sip:{user}{host}{}{params}", port.map_or(String::new(), |p| format!(":{p}")))
        },
    )
}

fn address() -> impl Strategy<Value = String> {
    let display = prop_oneof![
        Just(String::new()),
        "[a-zA-Z]{1,6}( [a-z]{1,6})? ?",
        "\"([ a-z,;:<>@=]|\\\\\"|\\\\\\\\){0,12}\" ?",
    ];
    (display, uri()).prop_map(|(display, uri)| format!("{display}<{uri}>"))
}

/// A lawful message in all its variety: requests and responses, compact names, folds, lists of Vias.
fn lawful() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![Just("INVITE".to_owned()), Just("BYE".to_owned()), Just("OPTIONS".to_owned()), token()];
    let start = proptest::option::of(100_u16..700);
    let fold = prop_oneof![Just(" "), Just("\t"), Just("\r\n "), Just(" \r\n\t ")];
    let vias = proptest::collection::vec((token(), any::<bool>()), 1..4);
    let tags = (proptest::option::of(token()), proptest::option::of(token()), "(;[a-z]{1,4}=\"[a-z;>, ]{0,5}\")?");
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    (method, start, fold, vias, (address(), address(), uri()), tags, (0_u32..1 << 31, token(), any::<bool>()), body)
        .prop_map(
            |(method, start, fold, vias, (from, to, uri), (from_tag, to_tag, param), (cseq, id, compact), body)| {
                let name = |long: &'static str, short: &'static str| if compact { short } else { long };
                let mut text =
                    start.map_or_else(|| format!("{method} {uri} SIP/2.0\r\n"), |code| format!("SIP/2.0 {code} x\r\n"));
                for (at, (branch, joined)) in vias.iter().enumerate() {
                    text += if at > 0 && *joined {
                        ","
                    } else if at > 0 {
                        "\r\n"
                    } else {
                        ""
                    };
                    if at == 0 || !*joined {
                        text += &format!("{}:{fold}", name("Via", "v"));
                    }
                    text += &format!("SIP/2.0/UDP{fold}host{at}:5060{fold};x=\",\";branch=z9hG4bK{branch}");
                }
                let tag = |tag: &Option<String>| {
                    tag.as_ref().map_or(String::new(), |tag| format!("{fold};tag{fold}={fold}{tag}"))
                };
                text += &format!("\r\n{}:{fold}{from}{param}{}\r\n", name("From", "f"), tag(&from_tag));
                text += &format!("{} :{to}{}{param}\r\n", name("To", "t"), tag(&to_tag));
                text += &format!("{}:{fold}{id}\r\nCSeq:{fold}{cseq}{fold}{method}\r\n", name("Call-ID", "i"));
                text += &format!(
                    "{}: x/y\r\n{}:{fold}{}\r\n\r\n",
                    name("Content-Type", "c"),
                    name("Content-Length", "l"),
                    body.len()
                );
                let mut bytes = text.into_bytes();
                bytes.extend(body);
                bytes
            },
        )
}

/// All frames of a stream that arrives in chunks of the given sizes, and the error that ended it.
fn frames(stream: &[u8], sizes: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
    let (mut framer, mut found, mut rest) = (Framer::new(), Vec::new(), stream);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((*sizes.next().unwrap_or(&1)).min(rest.len()));
        rest = after;
        framer.push(chunk);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_panic_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
        let _ = frames(&bytes, &[7]);
    }

    #[test]
    fn arbitrary_text_panics_nothing(value in "\\PC{0,60}", sharp in "[ <>\"\\\\,;=:@?%\\[\\]a1é]{0,40}") {
        read_value(&value);
        read_value(&sharp);
        for name in ["Via", "From", "To", "Contact", "Content-Type", "Accept", "Content-Disposition", "Authorization", "CSeq"] {
            read_all(format!("INVITE sip:h SIP/2.0\r\n{name}: {sharp}\r\n\r\n{value}").as_bytes());
        }
    }

    #[test]
    fn mutated_messages_panic_nothing(
        mut bytes in lawful(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..12),
    ) {
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match kind {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => { bytes.remove(at); }
                _ => bytes.insert(at, b"\r\n\t \"<>,;:=@"[usize::from(byte) % 12]),
            }
        }
        read_all(&bytes);
        let _ = frames(&bytes, &[usize::from(bytes.first().copied().unwrap_or(0)) + 1]);
    }

    #[test]
    fn lawful_messages_are_understood_and_peek_agrees(bytes in lawful()) {
        let message = Message::parse(Bytes::copy_from_slice(&bytes)).expect("a message");
        prop_assert_eq!(message.check(), Ok(()), "{}", String::from_utf8_lossy(&bytes));
        let peek = Peek::of(&bytes).expect("a message");
        prop_assert_eq!(peek.code, message.code());
        prop_assert_eq!(peek.method, message.is_request().then(|| message.method()));
        prop_assert_eq!(peek.cseq_method(), message.cseq().map(|cseq| cseq.method));
        prop_assert_eq!(peek.cseq(), message.cseq().map(|cseq| cseq.number));
        prop_assert_eq!(peek.call_id(), message.call_id().as_bytes());
        prop_assert_eq!(peek.from_tag(), message.from_tag().unwrap_or("").as_bytes());
        prop_assert_eq!(peek.to_tag(), message.to_tag().unwrap_or("").as_bytes());
        let via = message.top_via().expect("a Via");
        prop_assert_eq!(peek.branch(), via.branch().as_bytes());
        prop_assert_eq!(peek.sent_by(), b"host0:5060");
    }

    #[test]
    fn what_is_copied_parses_back_the_same(bytes in lawful()) {
        let message = Message::parse(Bytes::from(bytes)).expect("a message");
        let mut copy = Builder::request_as("COPY", "sip:h");
        for field in message.fields().iter().filter(|field| !matches!(field.name, Name::ContentLength | Name::ContentType)) {
            copy.field_ref(&message, field);
        }
        let copy = Message::parse(copy.finish_with("x/y", &message.body())).expect("a message");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            prop_assert!(copy.lines(name).eq(message.lines(name)));
        }
        prop_assert_eq!(copy.body(), message.body());
        let response = Message::parse(Builder::response(&message, 486, None, "ours").finish()).expect("a response");
        prop_assert_eq!(response.check(), Ok(()));
        prop_assert_eq!(response.to_tag(), message.to_tag().or(Some("ours")));
    }

    #[test]
    fn any_chunking_of_a_stream_gives_the_same_messages(
        messages in proptest::collection::vec((lawful(), "(\r?\n){0,4}"), 1..4),
        sizes in proptest::collection::vec(1_usize..50, 1..8),
        tail in "[a-zA-Z :\r\n]{0,30}",
    ) {
        let mut stream = Vec::new();
        for (message, line_ends) in &messages {
            stream.extend_from_slice(line_ends.as_bytes());
            stream.extend_from_slice(message);
        }
        let whole = frames(&stream, &[stream.len()]);
        let found: Vec<_> = whole.0.iter().filter_map(|f| if let Frame::Message(m) = f { Some(&m[..]) } else { None }).collect();
        prop_assert_eq!(&found, &messages.iter().map(|(message, _)| &message[..]).collect::<Vec<_>>());
        prop_assert_eq!(&frames(&stream, &sizes), &whole);
        prop_assert_eq!(&frames(&stream, &[1]), &whole);
        stream.extend_from_slice(tail.as_bytes());
        prop_assert_eq!(frames(&stream, &sizes), frames(&stream, &[1]));
    }

    #[test]
    fn what_the_client_answers_the_server_accepts(
        username in "[ -~é]{1,12}", password in "\\PC{0,12}", secret in any::<[u8; 32]>(), method in token(), uri in uri(), seed in any::<u64>(),
    ) {
        let wall = sip::clock::Wall(1_700_000_000_000);
        let challenger = Challenger::new(secret, "realm", std::time::Duration::from_secs(60));
        let mut asked = Builder::status(401);
        for value in challenger.challenges(wall, false) {
            asked.add(Name::WwwAuthenticate, value);
        }
        let asked = Message::parse(asked.finish()).expect("a message");
        let (_, value) = sip::digest::answer(&asked, &username, &password, &method, &uri, seed).expect("an answer");
        let credentials = Credentials::parse(&value).expect("credentials");
        prop_assert_eq!(credentials.username(), username.clone());
        let ha1 = Ha1::of_password(&username, "realm", &password);
        prop_assert_eq!(challenger.verify(wall, &credentials, &method, &uri, &ha1), sip::digest::Verdict::Valid { nc: Some(1) });
        let other = Ha1::of_password(&username, "realm", &format!("{password}x"));
        prop_assert_eq!(challenger.verify(wall, &credentials, &method, &uri, &other), sip::digest::Verdict::Wrong);
    }

    #[test]
    fn a_dialog_survives_its_checkpoint(request in lawful(), contact in address(), routes in proptest::collection::vec(uri(), 0..4)) {
        let message = Message::parse(Bytes::from(request)).expect("a message");
        let mut invite = Builder::request(Method::Invite, "sip:us").copy(&message, &[Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq]);
        invite.add(Name::Contact, &contact);
        for route in &routes {
            invite.add(Name::RecordRoute, format_args!("<{route}>"));
        }
        let invite = Message::parse(invite.finish()).expect("a message");
        let mut dialog = Dialog::uas(&invite, "ours").expect("a dialog");
        let bytes = postcard::to_allocvec(&dialog).expect("serialises");
        let mut restored: Dialog = postcard::from_bytes(&bytes).expect("restores");
        prop_assert_eq!(&restored, &dialog);
        // As every version has written it: the five texts, each by itself.
        let (names, _) = postcard::take_from_bytes::<(&str, &str, &str, &str, &str)>(&bytes).expect("five texts");
        let own = (dialog.call_id(), dialog.local(), dialog.remote(), dialog.local_tag(), dialog.remote_tag());
        prop_assert_eq!(names, own);
        let write = |dialog: &mut Dialog| dialog.request(Method::Bye, "SIP/2.0/UDP us;branch=z9hG4bKb", None, 70).finish();
        let bye = write(&mut dialog);
        prop_assert_eq!(write(&mut restored), bye.clone());
        let bye = Message::parse(bye).expect("a message");
        prop_assert_eq!(bye.check(), Ok(()));
        prop_assert_eq!(bye.values(Name::Route).count(), routes.len());
    }
}
