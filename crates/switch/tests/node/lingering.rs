//! A call that is over: its actor goes at once, and what comes again is answered as before.

use crate::bench::{Bench, Peer, until};
use crate::failing_call::{invite, ok, response, tables};
use sip::{Builder, Message, Method, Name};
use switch::calls::actor::CallMessage;

/// The caller's requests after the answer.
fn within(caller: &Peer, answered: &Message, method: Method, number: u32) -> Builder {
    let target = answered.contact().expect("a contact").uri.to_owned();
    Builder::request(method, &target)
        .header(Name::Via, format_args!("SIP/2.0/UDP {};branch=z9hG4bK{number}{}", caller.address, method.token()))
        .header(Name::MaxForwards, 70)
        .copy(answered, &[Name::From, Name::To, Name::CallId])
        .header(Name::CSeq, format_args!("{number} {}", method.token()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_after_the_end_is_answered_without_an_actor() {
    let (caller, callee) = (Peer::bind(45).await, Peer::bind(46).await);
    let bench = Bench::start(45, 41_200, Vec::new(), &tables(&caller, callee.address)).await;
    let directory = &bench.node.shell().calls.directory;
    let initial = invite(&caller, bench.address);
    caller.send(&initial, bench.address).await;
    let (offered, from) = callee.request(Method::Invite).await;
    let answer = ok(&offered, callee.address);
    callee.send(&answer, from).await;
    let answered = response(&caller, 200).await;
    let number = answered.cseq().expect("a CSeq").number;
    caller.send(&within(&caller, &answered, Method::Ack, number).finish(), bench.address).await;
    callee.request(Method::Ack).await;
    assert_eq!(directory.some(9).len(), 1, "a call that is up has its actor");

    let bye = within(&caller, &answered, Method::Bye, number + 1).finish();
    caller.send(&bye, bench.address).await;
    let (farewell, from) = callee.request(Method::Bye).await;
    callee.answer(&farewell, from, 200, &[]).await;
    let first = response(&caller, 200).await;
    until("the actor has gone", || directory.some(9).is_empty()).await;
    assert_eq!(directory.len(), 1, "the call still answers");

    // The caller's BYE again, the callee's 200 again, and something new.
    caller.send(&bye, bench.address).await;
    assert_eq!(response(&caller, 200).await.bytes(), first.bytes());
    callee.send(&answer, from).await;
    callee.request(Method::Ack).await;
    caller.send(&within(&caller, &answered, Method::Info, number + 2).finish(), bench.address).await;
    assert_eq!(response(&caller, 481).await.cseq().map(|cseq| cseq.number), Some(number + 2));
    // The first INVITE again begins no second call.
    caller.send(&initial, bench.address).await;
    until("it is over", || directory.is_empty()).await;
    assert!(callee.next(std::time::Duration::ZERO).await.is_none(), "nothing new for the callee");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_panics_after_its_end_is_forgotten() {
    let (caller, callee) = (Peer::bind(49).await, Peer::bind(50).await);
    let bench = Bench::start(49, 41_400, Vec::new(), &tables(&caller, callee.address)).await;
    let shell = bench.node.shell();
    let directory = &shell.calls.directory;
    caller.send(&invite(&caller, bench.address), bench.address).await;
    let (offered, from) = callee.request(Method::Invite).await;
    let (id, _) = directory.some(1).pop().expect("a call");
    callee.answer(&offered, from, 486, &[]).await;
    let refused = response(&caller, 486).await;
    let ack =
        Builder::request(Method::Ack, "sip:x@test").copy(&refused, &[Name::Via, Name::From, Name::To, Name::CallId]);
    caller.send(&ack.header(Name::CSeq, "1 ACK").header(Name::MaxForwards, 70).finish(), bench.address).await;
    until("the actor has gone", || directory.some(9).is_empty()).await;
    directory.find(id).expect("it lingers").drive(shell, id, CallMessage::Fail);
    assert!(directory.find(id).is_none() && directory.is_empty());
    bench.stop().await;
}
