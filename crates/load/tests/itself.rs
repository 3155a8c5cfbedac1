//! The generator against itself: callers and callees talk straight to each other.

use load::{Codec, Credentials, Hangup, Mix, Options, Progress, Report};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

fn options(host: u8) -> Options {
    let at = |port| SocketAddr::from(([127, 88, 0, host], port));
    let mut options = Options::new(at(5070), Some(at(5080)), at(5080));
    options.rate = 200.0;
    options.calls = Some(100);
    options.hold = Duration::from_millis(200);
    options
}

fn run(options: &Options) -> Report {
    load::run(options, &Progress::default()).expect("the sockets work")
}

#[test]
fn every_call_is_answered_and_ended() {
    let report = run(&options(1));
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.offered, report.answered, report.completed), (100, 100, 100));
    assert_eq!((report.callee.offered, report.callee.answered, report.callee.completed), (100, 100, 100));
    assert!(report.setup_us.p50 >= 50_000, "ringing takes 50 ms: {report}");
}

#[test]
fn each_scenario_ends_as_planned() {
    let mut options = options(2);
    options.mix = Mix { answered: 1, busy: 1, cancelled: 1, no_answer: 1 };
    options.hangup = Hangup::Callee;
    let report = run(&options);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.completed, report.busy, report.cancelled, report.not_answered), (25, 25, 25, 25));
}

#[test]
fn audio_is_whole_in_both_codecs() {
    for (host, codec) in [(3, Codec::Pcma), (4, Codec::Pcmu)] {
        let mut options = options(host);
        options.audio = true;
        options.codec = codec;
        options.calls = Some(40);
        options.hold = Duration::from_secs(1);
        let report = run(&options);
        assert!(report.is_clean(), "{report}");
        let audio = report.audio.expect("audio was on");
        assert_eq!((audio.legs, audio.silent_legs), (80, 0));
        assert!(audio.packets_received >= 40 * 2 * 45, "{audio}");
    }
}

#[test]
fn silence_is_a_failure_after_timer_b_and_its_retransmissions_are_counted() {
    let mut options = options(5);
    let nobody = UdpSocket::bind(options.target).expect("a port that never answers");
    options.callee_bind = None;
    options.calls = Some(1);
    options.t1 = Duration::from_millis(20);
    let report = run(&options);
    assert_eq!(report.failures.get("no response to INVITE"), Some(&1), "{report}");
    assert_eq!(report.retransmissions_sent, 6, "timer A: after 1, 3, 7, 15, 31 and 63 times T1");
    drop(nobody);
}

#[test]
fn a_challenge_without_credentials_fails_by_its_code() {
    for (host, credentials, wanted) in
        [(6, None, "401"), (7, Some(Credentials { username: "u".into(), password: "p".into() }), "403")]
    {
        let mut options = options(host);
        options.callee_bind = None;
        options.calls = Some(1);
        options.credentials = credentials;
        let server = UdpSocket::bind(options.target).expect("a port");
        let thread = std::thread::spawn(move || challenge(&server));
        let report = run(&options);
        assert_eq!(report.failures.get(wanted), Some(&1), "{report}");
        thread.join().expect("the server ends");
    }
}

/// Challenges the first INVITE, refuses the second, and ends with the ACK of the refusal or after a pause.
fn challenge(server: &UdpSocket) {
    server.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let mut buffer = [0; 4096];
    while let Ok((length, source)) = server.recv_from(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !text.starts_with("INVITE") {
            continue;
        }
        let status = if text.contains("\r\nAuthorization: Digest username=\"u\"") {
            "403 Forbidden"
        } else {
            "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\""
        };
        let kept = ["Via", "From", "To", "Call-ID", "CSeq"];
        let lines: Vec<&str> = text.lines().filter(|line| kept.iter().any(|name| line.starts_with(name))).collect();
        let answer = format!("SIP/2.0 {status}\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"));
        server.send_to(answer.as_bytes(), source).expect("loopback takes it");
    }
}

#[test]
fn a_run_can_be_stopped() {
    let mut options = options(8);
    // All are offered when the stop comes: it ends what is open.
    options.calls = Some(20);
    options.hold = Duration::from_secs(600);
    let progress = Arc::new(Progress::default());
    let watched = Arc::clone(&progress);
    let thread = std::thread::spawn(move || load::run(&options, &watched).expect("the sockets work"));
    while progress.snapshot().answered < 20 {
        std::thread::yield_now();
    }
    progress.stop();
    let report = thread.join().expect("the run ends");
    assert_eq!(report.still_open, 0, "{report}");
    assert_eq!(report.completed, 20, "{report}");
    assert!(report.callee.failures.is_empty(), "{report}");
}

#[test]
fn callees_alone_answer_callers_that_hang_up_when_they_like() {
    let mut caller = options(9);
    caller.callee_bind = None;
    caller.calls = Some(20);
    let mut callee = options(9);
    callee.hold = Duration::from_secs(60);
    callee.duration = Duration::from_secs(60);
    let progress = Arc::new(Progress::default());
    let watched = Arc::clone(&progress);
    let thread = std::thread::spawn(move || load::serve(&callee, &watched).expect("the socket works"));
    while progress.snapshot().elapsed_ms == 0 {
        std::thread::yield_now();
    }
    let report = run(&caller);
    progress.stop();
    let served = thread.join().expect("the callees end");
    assert!(report.is_clean() && served.is_clean(), "{report}{served}");
    assert_eq!((report.completed, served.callee.completed), (20, 20));
}

#[test]
fn calls_go_to_each_entrance_in_turn() {
    let mut options = options(10);
    // Two entrances where one callee listens cannot be told apart by it: the second is a port that never answers.
    let silent = UdpSocket::bind("127.88.0.10:5090").expect("a port that never answers");
    options.more_targets = vec![silent.local_addr().expect("an address")];
    options.calls = Some(11);
    options.t1 = Duration::from_millis(5);
    let report = run(&options);
    let placed: Vec<_> = report.targets.iter().map(|one| (one.target, one.offered, one.answered, one.failed)).collect();
    assert_eq!(placed, [(options.target, 6, 6, 0), (options.more_targets[0], 5, 0, 5)], "{report}");
    assert_eq!((report.offered, report.answered, report.failed), (11, 6, 5));
    assert!(report.to_string().contains("127.88.0.10:5090: 5 offered, 0 answered, 5 failed"), "{report}");
}
