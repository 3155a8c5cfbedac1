//! Carriers behind a domain (RFC 3263): which of their servers gets what.

use crate::bench::{Bench, Peer, until};
use crate::names;
use sip::{Method, Name};

fn tables(caller: &Peer, register: &str) -> String {
    format!(
        r#"
[[account]]
name = "acme"
currency = "EUR"
billing = "postpaid"

[[trunk]]
name = "pbx"
account = "acme"
[trunk.ingress]
from = ["{}/32"]
plan = "retail"

[[trunk]]
name = "alpha"
account = "acme"
[trunk.egress]
gateways = [ {{ address = "{}" }} ]
{register}

[[plan]]
name = "retail"
order = "priority"
[[plan.route]]
prefix = ""
trunks = ["alpha"]
"#,
        caller.address.ip(),
        names::DOMAIN
    )
}

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.71.30\r\ns=-\r\nc=IN IP4 127.0.71.30\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n";

#[tokio::test]
async fn a_call_goes_to_the_next_server_when_the_first_refuses() {
    let (caller, first, second) = (Peer::bind(30).await, Peer::bind(31).await, Peer::bind(32).await);
    let names = names::serve(&[first.address, second.address]).await;
    let bench = Bench::start(30, 41_200, vec![names], &tables(&caller, "")).await;
    let invite = caller
        .request_to(Method::Invite, &format!("sip:447700900000@{}", bench.address), "442071230000")
        .header(Name::Contact, format_args!("<sip:442071230000@{}>", caller.address))
        .finish_with("application/sdp", SDP.as_bytes());
    caller.send(&invite, bench.address).await;
    let (refused, from) = first.request(Method::Invite).await;
    assert!(refused.uri().contains(names::DOMAIN), "{}", refused.uri());
    first.answer(&refused, from, 503, &[]).await;
    let (taken, from) = second.request(Method::Invite).await;
    assert_eq!(taken.uri(), refused.uri());
    second.answer(&taken, from, 486, &[]).await;
    loop {
        let (response, _) = caller.expect().await;
        match response.code() {
            Some(100) => {}
            code => {
                assert_eq!(code, Some(486), "the caller hears of the second server only");
                break;
            }
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_no_route_and_holds_no_channel() {
    let caller = Peer::bind(33).await;
    let names = names::serve(&[]).await;
    let bench = Bench::start(31, 41_220, vec![names], &tables(&caller, "")).await;
    let invite = caller
        .request_to(Method::Invite, &format!("sip:447700900000@{}", bench.address), "442071230000")
        .header(Name::Contact, format_args!("<sip:442071230000@{}>", caller.address))
        .finish_with("application/sdp", SDP.as_bytes());
    caller.send(&invite, bench.address).await;
    loop {
        let (response, _) = caller.expect().await;
        if response.code() != Some(100) {
            assert!(response.code() >= Some(500), "{:?}", response.code());
            break;
        }
    }
    let used = || {
        let view = bench.node.shell().tables.view();
        let standings = bench.node.shell().trunks.standings(&view);
        standings.into_iter().find(|trunk| &*trunk.name == "alpha").map(|trunk| trunk.used)
    };
    until("the channel is free", || used() == Some(0)).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_registrar_is_found_by_naptr_and_srv_and_the_next_one_taken_when_it_is_overloaded() {
    let (caller, first, second) = (Peer::bind(34).await, Peer::bind(35).await, Peer::bind(36).await);
    let names = names::serve(&[first.address, second.address]).await;
    let row = format!("register = {{ registrar = \"{}\", username = \"u\", password = \"p\" }}", names::DOMAIN);
    let bench = Bench::start(32, 41_240, vec![names], &tables(&caller, &row)).await;
    let (request, from) = first.request(Method::Register).await;
    assert_eq!(request.uri(), format!("sip:{}", names::DOMAIN));
    first.answer(&request, from, 503, &[]).await;
    let (request, from) = second.request(Method::Register).await;
    second.answer(&request, from, 200, &[]).await;
    let registered = || {
        let view = bench.node.shell().tables.view();
        bench.node.shell().trunks.standings(&view).iter().any(|trunk| trunk.registered == Some(true))
    };
    until("registered", registered).await;
    bench.stop().await;
}
