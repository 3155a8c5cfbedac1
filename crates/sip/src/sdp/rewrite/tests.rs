//! What stays byte for byte and what changes when a description passes the relay.

use super::super::samples::{ALL, BARESIP, IPV6, LINPHONE, MIXED, PJSIP, Random, T38, WEBRTC};
use super::*;

const RELAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
const ORIGIN: Origin = Origin { id: 77, version: 1, address: RELAY };

fn relay(port: u16) -> Target {
    Target::Relay(MediaAddress { rtp: (RELAY, port).into(), rtcp: None })
}

fn session(body: &str) -> Session {
    Session::parse(body.as_bytes()).unwrap()
}

fn write(body: &str, plan: &Rewrite<'_>) -> String {
    String::from_utf8(rewrite(&session(body), &ORIGIN, plan).unwrap().to_vec()).unwrap()
}

fn relayed(body: &str) -> String {
    write(body, &Rewrite { media: &[relay(20000), relay(20002)], ..Rewrite::default() })
}

fn codecs(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn with_codecs(body: &str, names: &[&str]) -> Result<String, Error> {
    let codecs = codecs(names);
    let plan = Rewrite { media: &[relay(20000), relay(20002)], codecs: Some(&codecs), direction: None };
    rewrite(&session(body), &ORIGIN, &plan).map(|body| String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn only_addresses_change_and_every_other_line_stays() {
    let expected = PJSIP
        .replace("o=- 3973500000 3973500000 IN IP4 192.0.2.10", "o=tandem 77 1 IN IP4 203.0.113.1")
        .replace("m=audio 4000", "m=audio 20000")
        .replace("c=IN IP4 192.0.2.10", "c=IN IP4 203.0.113.1")
        .replace("a=rtcp:4001 IN IP4 192.0.2.10", "a=rtcp:20001");
    assert_eq!(relayed(PJSIP), expected);
    let expected = BARESIP
        .replace("o=- 1764000001 764100002 IN IP4 192.0.2.20", "o=tandem 77 1 IN IP4 203.0.113.1")
        .replace("m=audio 11208", "m=audio 20000")
        .replace("c=IN IP4 192.0.2.20", "c=IN IP4 203.0.113.1");
    assert_eq!(relayed(BARESIP), expected);
}

#[test]
fn no_address_of_the_other_leg_survives_the_relay() {
    for body in [PJSIP, BARESIP, LINPHONE, WEBRTC, T38, IPV6] {
        let written = relayed(body);
        for secret in ["192.0.2.", "198.51.100.", "2001:db8", "ice-", "candidate", "BUNDLE"] {
            assert!(!written.contains(secret), "{secret} in {written}");
        }
    }
}

#[test]
fn untouched_lines_of_every_sample_keep_their_bytes_and_order() {
    for body in ALL {
        let written = relayed(body);
        let touched = |line: &&str| !matches!(line.as_bytes()[0], b'o' | b'c' | b'm') && !line.starts_with("a=rtcp:");
        let old: Vec<_> = body.lines().filter(touched).filter(|line| !dropped(line)).collect();
        let new: Vec<_> = written.lines().filter(touched).collect();
        assert_eq!(old, new);
        assert!(written.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
    }
}

fn dropped(line: &str) -> bool {
    let line = line.trim_start_matches("a=");
    ["ice-", "candidate", "remote-candidates", "group:BUNDLE"].iter().any(|name| line.starts_with(name))
}

#[test]
fn the_codec_policy_removes_reorders_and_takes_the_attributes_along() {
    let written = with_codecs(PJSIP, &["PCMA", "g722", "Opus", "telephone-event"]).unwrap();
    assert!(written.contains("m=audio 20000 RTP/AVP 8 9 96 101\r\n"), "{written}");
    assert!(!written.contains(":0 PCMU") && !written.contains(":18 "), "{written}");
    assert!(written.contains("a=fmtp:96 useinbandfec=1") && written.contains("a=fmtp:101 0-16"));
    let written = with_codecs(LINPHONE, &["H264", "opus"]).unwrap();
    assert!(written.contains("a=rtcp-fb:* trr-int 5000") && !written.contains("a=rtcp-fb:97"), "{written}");
    assert!(with_codecs(PJSIP, &["opus/16000"]).is_err() && with_codecs(PJSIP, &["opus/48000"]).is_ok());
}

#[test]
fn a_media_without_a_codec_is_refused_and_a_call_without_any_too() {
    let written = with_codecs(LINPHONE, &["opus", "telephone-event"]).unwrap();
    assert!(written.contains("m=audio 20000 RTP/AVPF 96 101\r\n") && written.contains("m=video 0 RTP/AVPF 98\r\n"));
    assert_eq!(with_codecs(LINPHONE, &["GSM"]), Err(Error::NoCommonCodec));
    assert_eq!(with_codecs(BARESIP, &["telephone-event"]), Err(Error::NoCommonCodec), "DTMF alone is no call");
    assert!(with_codecs(T38, &["GSM"]).is_ok(), "the policy does not speak of fax");
}

#[test]
fn refused_media_stays_refused() {
    let written = relayed(T38);
    assert!(
        written.contains("m=audio 0 RTP/AVP 8\r\n") && written.contains("m=image 20002 udptl t38\r\n"),
        "{written}"
    );
    let written = write(LINPHONE, &Rewrite { media: &[relay(20000)], ..Rewrite::default() });
    assert!(written.contains("m=video 0 RTP/AVPF 98\r\n"), "{written}");
}

#[test]
fn an_old_style_hold_is_said_with_a_direction_once_its_address_is_gone() {
    let held = relayed(&PJSIP.replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0"));
    assert!(held.contains("a=sendonly\r\n") && !held.contains("sendrecv") && !held.contains("0.0.0.0"), "{held}");
    let held = relayed("v=0\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\nm=audio 4 RTP/AVP 0\r\n");
    assert!(held.ends_with("m=audio 20000 RTP/AVP 0\r\na=inactive\r\n"), "{held}");
}

#[test]
fn a_direction_of_our_own_replaces_what_is_said() {
    let plan = Rewrite { media: &[relay(20000)], direction: Some(Direction::SendOnly), ..Rewrite::default() };
    let written = write(&BARESIP.replace("t=0 0\r\n", "t=0 0\r\na=sendrecv\r\n"), &plan);
    assert_eq!((written.matches("a=sendonly").count(), written.matches("sendrecv").count()), (1, 0), "{written}");
    assert!(written.contains("a=label:1\r\na=sendonly\r\na=ptime:20\r\n"));
}

#[test]
fn media_that_passes_keeps_the_address_that_the_session_gave_it() {
    let written = write(MIXED, &Rewrite { media: &[relay(20000), Target::Pass], ..Rewrite::default() });
    let (session, message) = written.split_once("m=message").unwrap();
    assert!(!session.contains("192.0.2.70") && session.contains("m=audio 20000"), "{written}");
    assert_eq!(message.lines().nth(1), Some("i=chat"));
    assert_eq!(message.lines().nth(2), Some("c=IN IP4 192.0.2.70"));
}

#[test]
fn rtcp_is_named_where_it_is_not_the_next_port() {
    let at = |rtcp: &str| {
        let address = MediaAddress { rtp: (RELAY, 20000).into(), rtcp: rtcp.parse().ok() };
        write(BARESIP, &Rewrite { media: &[Target::Relay(address)], ..Rewrite::default() })
    };
    assert!(!at("203.0.113.1:20001").contains("a=rtcp:"));
    assert!(at("203.0.113.1:30000").ends_with("a=rtcp:30000\r\n"));
    assert!(at("203.0.113.2:30000").ends_with("a=rtcp:30000 IN IP4 203.0.113.2\r\n"));
    assert!(!relayed(WEBRTC).contains("a=rtcp:"), "multiplexed RTCP needs no address");
}

#[test]
fn media_on_another_address_than_the_session_says_so() {
    let elsewhere = MediaAddress { rtp: "[2001:db8::1]:20000".parse().unwrap(), rtcp: None };
    let written = write(BARESIP, &Rewrite { media: &[Target::Relay(elsewhere)], ..Rewrite::default() });
    assert!(written.contains("m=audio 20000 RTP/AVP 8 0 101\r\nc=IN IP6 2001:db8::1\r\n"), "{written}");
    let bare = relayed("v=0\r\nm=audio 4 RTP/AVP 0\r\n");
    assert!(bare.ends_with("m=audio 20000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1\r\n"), "{bare}");
    assert!(bare.contains("s=-\r\nt=0 0\r\n"), "{bare}");
}

#[test]
fn the_same_input_gives_the_same_bytes_and_what_is_written_can_be_read() {
    let codecs = codecs(&["PCMA", "PCMU", "telephone-event"]);
    let mut random = Random(11);
    for round in 0..5_000 {
        let mut body = ALL[round % ALL.len()].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(body.len());
            body[at] = u8::try_from(random.below(128)).unwrap_or(b'x');
        }
        let Ok(session) = Session::parse(&body) else { continue };
        let media = [relay(20000), if random.below(2) == 0 { relay(20002) } else { Target::Pass }];
        let codecs = (random.below(2) == 0).then_some(codecs.as_slice());
        let plan = Rewrite { media: &media, codecs, direction: None };
        let first = rewrite(&session, &ORIGIN, &plan);
        assert_eq!(first, rewrite(&session, &ORIGIN, &plan));
        let Ok(first) = first else { continue };
        let again = Session::parse(&first).expect("what we write can be read");
        assert_eq!(again.media_count(), session.media_count());
        // Written once more it stays as it is: nothing is added twice.
        assert_eq!(rewrite(&again, &ORIGIN, &plan).as_ref(), Ok(&first));
    }
}
