//! Phones that register (RFC 3261 §10.3).

use crate::bench::{Bench, Peer, until};
use crate::gauges::Gauges;
use sip::digest::Challenge;
use sip::{Message, Method, Name};
use switch::clock;

const TABLES: &str = r#"
[[account]]
name = "acme"
currency = "EUR"
billing = "postpaid"

[[user]]
name = "alice"
account = "acme"
password = "s3cret"

[[user]]
name = "bob"
account = "acme"
password = "hunter2"
"#;

/// One REGISTER with its challenge answered.
async fn register(peer: &Peer, bench: &Bench, user: &str, password: &str, headers: &[(Name, String)]) -> Message {
    let uri = format!("sip:{}", bench.address);
    let mut challenge: Option<Challenge> = None;
    loop {
        let mut request = peer.request_to(Method::Register, &uri, user);
        for (name, value) in headers {
            request.add(*name, value);
        }
        let answering = challenge.is_some();
        if let Some(challenge) = challenge.as_mut() {
            request.add(challenge.header(), challenge.authorize(user, password, "REGISTER", &uri, 7));
        }
        peer.send(&request.finish(), bench.address).await;
        let (response, _) = peer.expect().await;
        if response.code() != Some(401) || answering {
            return response;
        }
        challenge = Some(Challenge::choose(&response).expect("a challenge"));
    }
}

fn contact(peer: &Peer, rest: &str) -> (Name, String) {
    (Name::Contact, format!("<sip:alice@{}>{rest}", peer.address))
}

fn expires(value: &str) -> (Name, String) {
    (Name::Expires, value.to_owned())
}

fn contacts(response: &Message) -> Vec<String> {
    response.values(Name::Contact).map(str::to_owned).collect()
}

fn listed(bench: &Bench) -> Vec<(String, u32)> {
    let rows = bench.node.shell().contacts.list(None, 100, clock::now(), |_| true);
    rows.into_iter().flat_map(|one| one.bindings).map(|row| (row.name, row.expires)).collect()
}

#[tokio::test]
async fn a_phone_registers_refreshes_and_leaves() {
    let gauges = Gauges::default();
    let _recording = metrics::set_default_local_recorder(&gauges);
    let bench = Bench::start(1, 41_000, Vec::new(), TABLES).await;
    let phone = Peer::bind(1).await;
    let uri = format!("sip:{}", bench.address);
    let first = phone.request_to(Method::Register, &uri, "alice").finish();
    phone.send(&first, bench.address).await;
    assert_eq!(phone.expect().await.0.code(), Some(401), "nobody gets in without a digest");
    assert!(listed(&bench).is_empty());

    let response = register(&phone, &bench, "alice", "s3cret", &[contact(&phone, ""), expires("300")]).await;
    assert_eq!(response.code(), Some(200));
    assert_eq!(contacts(&response), [format!("<sip:alice@{}>;expires=300", phone.address)]);
    assert_eq!(listed(&bench), [("alice".to_owned(), 300)]);
    assert_eq!(gauges.value("tandem_registrations", &[]), Some(1.0));

    let response = register(&phone, &bench, "alice", "s3cret", &[contact(&phone, ";expires=600")]).await;
    assert_eq!((response.code(), contacts(&response).len()), (Some(200), 1), "a refresh is no second binding");
    assert_eq!(listed(&bench), [("alice".to_owned(), 600)]);

    let second = [(Name::Contact, "<sip:alice@127.0.71.99:5099>;q=0.5".to_owned()), expires("300")];
    let response = register(&phone, &bench, "alice", "s3cret", &second).await;
    assert_eq!(contacts(&response).len(), 2);
    let response = register(&phone, &bench, "alice", "s3cret", &[]).await;
    assert_eq!((response.code(), contacts(&response).len()), (Some(200), 2), "without Contact it only asks");

    let all = [(Name::Contact, "*".to_owned()), expires("0")];
    let response = register(&phone, &bench, "alice", "s3cret", &all).await;
    assert_eq!((response.code(), contacts(&response).len()), (Some(200), 0));
    assert!(listed(&bench).is_empty());
    until("the metric follows", || gauges.value("tandem_registrations", &[]) == Some(0.0)).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let bench = Bench::start(2, 41_020, Vec::new(), TABLES).await;
    let phone = Peer::bind(2).await;
    let cases = [
        ("alice", "wrong", expires("300"), 403),
        ("nobody", "s3cret", expires("300"), 403),
        ("alice", "s3cret", expires("5"), 423),
    ];
    for (user, password, expires, code) in cases {
        let response = register(&phone, &bench, user, password, &[contact(&phone, ""), expires]).await;
        assert_eq!(response.code(), Some(code), "{user}");
        assert_eq!(response.get(Name::MinExpires).is_some(), code == 423);
    }
    let wildcard = [(Name::Contact, "*".to_owned()), expires("300")];
    assert_eq!(register(&phone, &bench, "alice", "s3cret", &wildcard).await.code(), Some(400));
    let malformed = [(Name::Contact, "<sip:>".to_owned()), expires("300")];
    assert_eq!(register(&phone, &bench, "alice", "s3cret", &malformed).await.code(), Some(400));
    assert!(listed(&bench).is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn an_expiry_that_makes_no_sense_is_an_hour_and_a_huge_one_the_longest() {
    let bench = Bench::start(3, 41_040, Vec::new(), TABLES).await;
    let phone = Peer::bind(3).await;
    for (value, granted) in [("soon", 3_600), ("99999999999999", 7_200)] {
        let response = register(&phone, &bench, "alice", "s3cret", &[contact(&phone, ""), expires(value)]).await;
        assert_eq!(response.code(), Some(200));
        assert_eq!(listed(&bench), [("alice".to_owned(), granted)], "Expires: {value}");
        let parameter = format!(";expires={value}");
        register(&phone, &bench, "alice", "s3cret", &[contact(&phone, &parameter)]).await;
        assert_eq!(listed(&bench), [("alice".to_owned(), granted)], "{parameter}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn nobody_registers_for_somebody_else() {
    let bench = Bench::start(4, 41_060, Vec::new(), TABLES).await;
    let phone = Peer::bind(4).await;
    let uri = format!("sip:{}", bench.address);
    let first = phone.request_to(Method::Register, &uri, "alice").finish();
    phone.send(&first, bench.address).await;
    let mut challenge = Challenge::choose(&phone.expect().await.0).expect("a challenge");
    // Bob's own digest is right, for the address of record of Alice.
    let mut request = phone.request_to(Method::Register, &uri, "alice");
    request.add(Name::Contact, format!("<sip:bob@{}>", phone.address));
    request.add(challenge.header(), challenge.authorize("bob", "hunter2", "REGISTER", &uri, 7));
    phone.send(&request.finish(), bench.address).await;
    assert_eq!(phone.expect().await.0.code(), Some(403));
    assert!(listed(&bench).is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn many_phones_are_listed_up_to_the_limit() {
    let users: String =
        (0..40).map(|n| format!("[[user]]\nname = \"u{n}\"\naccount = \"acme\"\npassword = \"p{n}\"\n")).collect();
    let bench = Bench::start(5, 41_080, Vec::new(), &format!("{TABLES}{users}")).await;
    let phone = Peer::bind(5).await;
    for n in 0..40 {
        let headers = [contact(&phone, ""), expires("300")];
        let response = register(&phone, &bench, &format!("u{n}"), &format!("p{n}"), &headers).await;
        assert_eq!(response.code(), Some(200));
    }
    let contacts = &bench.node.shell().contacts;
    assert_eq!(
        (
            contacts.len(),
            contacts.list(None, 10, clock::now(), |_| true).len(),
            contacts.list(None, 100, clock::now(), |_| true).len()
        ),
        (40, 10, 40)
    );
    bench.stop().await;
}
