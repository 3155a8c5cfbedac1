use super::*;
use bytes::Bytes;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn message(headers: &str) -> Message {
    Message::parse(Bytes::from(format!("UPDATE sip:h SIP/2.0\r\nCSeq: 1 UPDATE\r\n{headers}\r\n"))).expect("valid")
}

fn response(headers: &str) -> Message {
    Message::parse(Bytes::from(format!("SIP/2.0 200 OK\r\nCSeq: 1 UPDATE\r\n{headers}\r\n"))).expect("valid")
}

fn agreed(headers: &str) -> (u32, Option<Refresher>, bool) {
    let agreed = Policy::default().answer(at(0), &message(headers)).expect("agreed");
    assert_eq!(agreed.timer.we_refresh(), agreed.session_expires.refresher == Some(Refresher::Uas));
    assert_eq!(agreed.timer.seconds(), agreed.session_expires.seconds);
    (agreed.session_expires.seconds, agreed.session_expires.refresher, agreed.require)
}

#[test]
fn table_2_of_the_rfc() {
    let (uac, uas) = (Some(Refresher::Uac), Some(Refresher::Uas));
    assert_eq!(agreed(""), (1_800, uas, false));
    assert_eq!(agreed("Session-Expires: 600;refresher=uac\r\n"), (600, uas, false));
    assert_eq!(agreed("Supported: timer\r\n"), (1_800, uac, true));
    assert_eq!(agreed("k: timer\r\nx: 600\r\n"), (600, uac, true));
    assert_eq!(agreed("Supported: 100rel, timer\r\nSession-Expires: 600;refresher=uac\r\n"), (600, uac, true));
    assert_eq!(agreed("Supported: timer\r\nSession-Expires: 600; refresher = uas\r\n"), (600, uas, false));
}

#[test]
fn an_interval_is_lowered_to_ours_but_not_below_their_minimum() {
    assert_eq!(agreed("Supported: timer\r\nSession-Expires: 7200\r\n").0, 1_800);
    assert_eq!(agreed("Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n").0, 3_600);
    assert_eq!(agreed("Min-SE: 3600\r\n").0, 3_600);
}

#[test]
fn too_short_is_refused_only_where_the_other_side_understands() {
    let policy = Policy { seconds: 1_800, min_seconds: 300 };
    let short = "Session-Expires: 120\r\n";
    let refused = policy.answer(at(0), &message(&format!("Supported: timer\r\n{short}")));
    assert_eq!(refused, Err(TooSmall { min_seconds: 300 }));
    assert_eq!(policy.answer(at(0), &message(short)).map(|agreed| agreed.session_expires.seconds), Ok(300));
    let least = Policy { seconds: 10, min_seconds: 1 };
    assert_eq!(least.offer(), (SessionExpires { seconds: 90, refresher: None }, 90));
}

#[test]
fn a_422_raises_what_we_ask_for_but_only_if_it_names_more() {
    let raised = Policy::default().after_422(&response("Min-SE: 3600\r\n")).expect("another attempt");
    assert_eq!(raised.offer(), (SessionExpires { seconds: 3_600, refresher: None }, 3_600));
    assert_eq!(raised.after_422(&response("Min-SE: 3600\r\n")), None);
    assert_eq!(Policy::default().after_422(&response("")), None);
    assert_eq!(Policy::default().after_422(&response("Min-SE: 4294967295\r\n")), None);
}

#[test]
fn the_uac_does_as_the_2xx_says() {
    let timer = |headers: &str| Policy::default().answered(at(0), &response(headers));
    assert_eq!(timer(""), None);
    assert_eq!(timer("Session-Expires: 5\r\n"), None);
    assert_eq!(timer("Session-Expires: 200;refresher=uas\r\n"), Some(SessionTimer::new(at(0), 200, false)));
    assert_eq!(timer("Session-Expires: 200;refresher=uac\r\n"), Some(SessionTimer::new(at(0), 200, true)));
    assert_eq!(timer("Session-Expires: 200\r\n"), Some(SessionTimer::new(at(0), 200, true)));
}

#[test]
fn the_refresher_refreshes_at_half_and_gives_up_before_the_end() {
    let mut timer = SessionTimer::new(at(0), 1_800, true);
    assert_eq!(timer.poll_timeout(), Some(at(900)));
    assert_eq!(timer.handle_timeout(at(899)), Expiry::Nothing);
    assert_eq!(timer.handle_timeout(at(900)), Expiry::Refresh);
    timer.retry_after(at(901), Duration::from_secs(3));
    assert_eq!(timer.poll_timeout(), Some(at(904)));
    assert_eq!(timer.handle_timeout(at(904)), Expiry::Refresh);
    assert_eq!(timer.poll_timeout(), Some(at(1_768)));
    assert_eq!(timer.handle_timeout(at(1_768)), Expiry::Expired);
}

#[test]
fn the_other_side_only_waits() {
    let mut timer = SessionTimer::new(at(0), 90, false);
    assert_eq!(timer.poll_timeout(), Some(at(60)));
    assert_eq!(timer.handle_timeout(at(59)), Expiry::Nothing);
    assert_eq!(timer.handle_timeout(at(60)), Expiry::Expired);
}
