//! A call whose actor panics: both legs are cleared, everything is given back, and its record is closed.

use crate::bench::{Bench, Peer, until};
use bytes::Bytes;
use ractor::ActorStatus;
use sip::{Builder, Message, Method, Name};
use std::net::SocketAddr;
use switch::calls::actor::CallMessage;
use switch::calls::directory::Remains;
use switch::cdr::read::{Columns, Filter, rows};

/// The caller at 127.0.71.`caller`, the gateway at `gateway`.
pub(crate) fn tables(caller: &Peer, gateway: SocketAddr) -> String {
    format!(
        r#"
[[trunk]]
name = "in"
channels = 5
[trunk.ingress]
from = ["{}/32"]
plan = "all"
caller_policy = "pass"
[[trunk]]
name = "out"
channels = 5
[trunk.egress]
gateways = [ {{ address = "{gateway}", transport = "udp", priority = 1, weight = 1, ping_seconds = 0 }} ]
[[plan]]
name = "all"
order = "priority"
[[plan.route]]
prefix = ""
trunks = ["out"]
"#,
        caller.address.ip()
    )
}

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.71.1\r\ns=-\r\nc=IN IP4 127.0.71.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n";

pub(crate) fn invite(caller: &Peer, node: SocketAddr) -> Bytes {
    caller
        .request_to(Method::Invite, &format!("sip:+447700900001@{node}"), "+442071230001")
        .header(Name::Contact, format_args!("<sip:caller@{}>", caller.address))
        .finish_with("application/sdp", SDP.as_bytes())
}

pub(crate) fn ok(request: &Message, contact: SocketAddr) -> Bytes {
    Builder::response(request, 200, None, "callee")
        .header(Name::Contact, format_args!("<sip:callee@{contact}>"))
        .finish_with("application/sdp", SDP.as_bytes())
}

/// Waits for a response of this code to our INVITE.
pub(crate) async fn response(peer: &Peer, code: u16) -> Message {
    loop {
        let (message, _) = peer.expect().await;
        if message.code() == Some(code) {
            return message;
        }
    }
}

async fn fail_the_call(bench: &Bench) {
    let (_, call) = bench.node.shell().calls.directory.some(1).pop().expect("a call");
    assert!(call.tell(CallMessage::Fail));
    until("the actor has failed", || matches!(call.actor.get_status(), ActorStatus::Stopped)).await;
}

/// The same in a turn that whoever read a message takes, and not the actor.
async fn fail_where_it_is_read(bench: &Bench) {
    let shell = bench.node.shell();
    let (id, call) = shell.calls.directory.some(1).pop().expect("a call");
    shell.calls.directory.find(id).expect("a place").drive(shell, id, CallMessage::Fail);
    until("its actor has failed with it", || matches!(call.actor.get_status(), ActorStatus::Stopped)).await;
}

fn everything_is_given_back(bench: &Bench) -> bool {
    let shell = bench.node.shell();
    let standings = shell.trunks.standings(&shell.tables.view());
    standings.iter().all(|standing| standing.used == 0) && shell.relay.gauges().sessions == 0
}

fn finals(bench: &Bench) -> Vec<Columns> {
    let all = rows(&bench.node.shell().cdr.folder(), &Filter { limit: 100, ..Filter::default() }).expect("records");
    all.into_iter().filter(|row| row.get("final").is_some_and(|value| value == "true")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_call_that_panics_is_cleared_and_recorded() {
    let (caller, callee) = (Peer::bind(41).await, Peer::bind(42).await);
    let bench = Bench::start(41, 41_000, Vec::new(), &tables(&caller, callee.address)).await;
    caller.send(&invite(&caller, bench.address), bench.address).await;
    let (offered, from) = callee.request(Method::Invite).await;
    callee.send(&ok(&offered, callee.address), from).await;
    let answered = response(&caller, 200).await;
    let target = answered.contact().expect("a contact").uri.to_owned();
    let ack = Builder::request(Method::Ack, &target)
        .header(Name::Via, format_args!("SIP/2.0/UDP {};branch=z9hG4bKack", caller.address))
        .copy(&answered, &[Name::From, Name::To, Name::CallId])
        .header(Name::CSeq, format_args!("{} ACK", answered.cseq().expect("a CSeq").number))
        .finish();
    caller.send(&ack, bench.address).await;
    callee.request(Method::Ack).await;
    // It is not kept twice: what is needed is written down when its next turn begins.
    let (id, call) = bench.node.shell().calls.directory.some(1).pop().expect("a call");
    until("the call is only where it sits", || matches!(*call.cell.remains.lock(), Remains::Seated(_))).await;
    bench.node.shell().calls.show_one(id).await.expect("it is there");
    until("a turn that changed nothing leaves nothing", || matches!(*call.cell.remains.lock(), Remains::Seated(_)))
        .await;

    fail_the_call(&bench).await;

    for peer in [&caller, &callee] {
        let (bye, from) = peer.request(Method::Bye).await;
        peer.answer(&bye, from, 200, &[]).await;
    }
    until("channels and ports are free", || everything_is_given_back(&bench)).await;
    until("the record is closed", || !finals(&bench).is_empty()).await;
    let rows = finals(&bench);
    assert_eq!(rows.len(), 1);
    let column = |name: &str| rows[0].get(name).map(String::as_str);
    assert_eq!((column("ended_by"), column("reason")), (Some("switch"), Some("internal_error")));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ringing_call_that_panics_is_refused_and_gives_everything_back() {
    let (caller, callee) = (Peer::bind(43).await, Peer::bind(44).await);
    let bench = Bench::start(43, 41_100, Vec::new(), &tables(&caller, callee.address)).await;
    ring(&bench, &caller, &callee).await;
    fail_the_call(&bench).await;
    is_refused(&bench, &caller).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_panics_where_its_message_was_read_ends_as_with_its_actor() {
    let (caller, callee) = (Peer::bind(47).await, Peer::bind(48).await);
    let bench = Bench::start(47, 41_300, Vec::new(), &tables(&caller, callee.address)).await;
    ring(&bench, &caller, &callee).await;
    fail_where_it_is_read(&bench).await;
    is_refused(&bench, &caller).await;
    bench.stop().await;
}

async fn ring(bench: &Bench, caller: &Peer, callee: &Peer) {
    caller.send(&invite(caller, bench.address), bench.address).await;
    let (offered, from) = callee.request(Method::Invite).await;
    callee.answer(&offered, from, 180, &[]).await;
    response(caller, 180).await;
}

async fn is_refused(bench: &Bench, caller: &Peer) {
    let (refused, _) = {
        loop {
            let (message, from) = caller.expect().await;
            if message.code().is_some_and(|code| code >= 300) {
                break (message, from);
            }
        }
    };
    assert!(refused.code().is_some_and(|code| code >= 400), "{refused:?}");
    until("channels and ports are free", || everything_is_given_back(bench)).await;
}
