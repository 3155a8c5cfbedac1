//! Gateways that are pinged, and carriers with whom we register.

use crate::bench::{Bench, Peer, until};
use ::trunk::gateway::State;
use sip::digest::{Challenger, Credentials, Ha1, Verdict};
use sip::{Message, Method, Name};
use std::net::SocketAddr;
use std::time::Duration;
use switch::clock;

const ACCOUNT: &str = "[[account]]\nname = \"acme\"\ncurrency = \"EUR\"\nbilling = \"postpaid\"\n";

fn pinged(gateway: SocketAddr) -> String {
    format!(
        "{ACCOUNT}[[trunk]]\nname = \"alpha\"\naccount = \"acme\"\n[trunk.egress]\n\
         gateways = [ {{ address = \"{gateway}\", ping_seconds = 1 }} ]\n"
    )
}

fn registering(registrar: &str, password: &str) -> String {
    format!(
        "{ACCOUNT}[[trunk]]\nname = \"alpha\"\naccount = \"acme\"\n[trunk.egress]\n\
         gateways = [ {{ address = \"127.0.71.200:5060\" }} ]\n\
         register = {{ registrar = \"{registrar}\", username = \"u\", password = \"{password}\", expires = 60 }}\n"
    )
}

#[tokio::test]
async fn the_state_of_a_gateway_follows_its_answers() {
    let gateway = Peer::bind(20).await;
    let bench = Bench::start(20, 41_100, Vec::new(), &pinged(gateway.address)).await;
    let address = gateway.address.to_string();
    let state = || {
        let shell = bench.node.shell();
        let standings = shell.trunks.standings(&shell.tables.view());
        standings.first().and_then(|trunk| trunk.gateways.first()).map(|(_, state)| *state)
    };
    until("there before anything is known", || state() == Some(State::Unknown)).await;
    // It answers, whatever it says.
    for code in [200, 404] {
        let (ping, from) = gateway.request(Method::Options).await;
        assert_eq!(ping.uri(), format!("sip:{address}"));
        gateway.answer(&ping, from, code, &[]).await;
    }
    // It goes silent, and comes back. Its pings are taken and thrown away, so that none of them is answered late.
    until("it answers", || state() == Some(State::Up)).await;
    while state() == Some(State::Up) {
        let _ = gateway.next(Duration::from_millis(100)).await;
    }
    assert_eq!(state(), Some(State::Down));
    while state() == Some(State::Down) {
        let (ping, from) = gateway.request(Method::Options).await;
        gateway.answer(&ping, from, 200, &[]).await;
    }
    bench.stop().await;
}

/// The registrar of a carrier.
struct Registrar {
    peer: Peer,
    challenger: Challenger,
    ha1: Ha1,
}

impl Registrar {
    async fn bind(host: u8) -> Self {
        Self {
            peer: Peer::bind(host).await,
            challenger: Challenger::new([7; 32], "carrier.test", Duration::from_secs(60)),
            ha1: Ha1::of_password("u", "carrier.test", "p"),
        }
    }

    /// Challenges until the digest is there; answers the request that passed.
    async fn passed(&self) -> (Message, SocketAddr) {
        loop {
            let (request, from) = self.peer.request(Method::Register).await;
            let wall = clock::now().wall;
            let right = Credentials::of(&request, "carrier.test", false).is_some_and(|credentials| {
                let verdict = self.challenger.verify(wall, &credentials, "REGISTER", request.uri(), &self.ha1);
                matches!(verdict, Verdict::Valid { .. })
            });
            if right {
                return (request, from);
            }
            let challenges = self.challenger.challenges(wall, false).into_iter();
            let headers: Vec<_> = challenges.map(|value| (Name::WwwAuthenticate, value.to_string())).collect();
            self.peer.answer(&request, from, 401, &headers).await;
        }
    }

    /// Answers 200 with our binding after somebody else's.
    async fn accept(&self, request: &Message, from: SocketAddr, seconds: u32) {
        let ours = request.get(Name::Contact).expect("a Contact");
        let both = format!("<sip:other@192.0.2.1>;expires=3600, {ours};expires={seconds}");
        self.peer.answer(request, from, 200, &[(Name::Contact, both)]).await;
    }
}

fn is_registered(bench: &Bench) -> Option<bool> {
    let view = bench.node.shell().tables.view();
    bench.node.shell().trunks.standings(&view).first().and_then(|standing| standing.registered)
}

#[tokio::test]
async fn we_register_refresh_in_time_and_leave_when_the_node_stops() {
    let registrar = Registrar::bind(21).await;
    let tables = registering(&registrar.peer.address.to_string(), "p");
    let bench = Bench::start(21, 41_120, Vec::new(), &tables).await;
    assert_eq!(is_registered(&bench), Some(false));
    let (first, from) = registrar.passed().await;
    assert_eq!((first.get(Name::Expires), from), (Some("60"), bench.address));
    // Two granted seconds make the refresh come soon; the binding of somebody else does not count.
    registrar.accept(&first, from, 2).await;
    until("registered", || is_registered(&bench) == Some(true)).await;
    let (second, from) = registrar.passed().await;
    assert_eq!((first.call_id(), first.get(Name::Contact)), (second.call_id(), second.get(Name::Contact)));
    let numbers = [&first, &second].map(|request| request.cseq().expect("a CSeq").number);
    assert!(numbers[0] < numbers[1], "{numbers:?}");
    registrar.accept(&second, from, 60).await;
    let stopping = tokio::spawn(bench.stop());
    let (last, from) = registrar.passed().await;
    assert_eq!(last.get(Name::Expires), Some("0"));
    registrar.peer.answer(&last, from, 200, &[]).await;
    stopping.await.expect("stops");
}

#[tokio::test]
async fn a_trunk_that_goes_from_the_tables_takes_its_binding_back() {
    let registrar = Registrar::bind(22).await;
    let tables = registering(&registrar.peer.address.to_string(), "p");
    let bench = Bench::start(22, 41_140, Vec::new(), &tables).await;
    let (request, from) = registrar.passed().await;
    registrar.accept(&request, from, 60).await;
    until("registered", || is_registered(&bench) == Some(true)).await;
    let other = "[[trunk]]\nname = \"beta\"\naccount = \"acme\"\n[trunk.egress]\ngateways = [ { address = \"127.0.71.201:5060\" } ]\n";
    bench.declare(other, true).await;
    let (last, from) = registrar.passed().await;
    assert_eq!(last.get(Name::Expires), Some("0"));
    registrar.peer.answer(&last, from, 200, &[]).await;
    // Its actor has ended: what is pinged and registered from now on is nothing.
    assert!(registrar.peer.next(Duration::from_secs(3)).await.is_none());
    bench.stop().await;
}

#[tokio::test]
async fn a_refusal_is_no_registration_and_no_flood() {
    let registrar = Registrar::bind(23).await;
    let bench = Bench::start(23, 41_160, Vec::new(), &registering(&registrar.peer.address.to_string(), "p")).await;
    let (request, from) = registrar.passed().await;
    registrar.peer.answer(&request, from, 403, &[]).await;
    assert!(registrar.peer.next(Duration::from_secs(2)).await.is_none(), "it waits before it tries again");
    assert_eq!(is_registered(&bench), Some(false));
    bench.stop().await;
}
