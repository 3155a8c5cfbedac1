//! What survives the death of an AOR's actor, and what expiry leaves.

use super::aor_actor::Act;
use super::*;
use crate::node::{Node, Options};
use crate::transport;
use ::registrar::Aor;
use ractor::ActorCell;
use sip::clock::{Now, Wall};
use sip::digest::Challenge;
use sip::{Builder, Method, Name, Transport};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(15);
const TABLES: &str = "[[account]]\nname = \"acme\"\ncurrency = \"EUR\"\nbilling = \"postpaid\"\n\
                      [[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"s3cret\"\n";

async fn node(folder: &std::path::Path) -> (Node, SocketAddr) {
    let at = SocketAddr::from(([127, 0, 74, 1], 0));
    let mut media = relay::Options::new(vec![at.ip()], 41_300..=41_315);
    media.workers = 1;
    let options = Options {
        name: "test-1".to_owned(),
        site: "test".to_owned(),
        data_dir: folder.to_owned(),
        sip: transport::Options { udp: vec![at], tcp: Vec::new(), advertise: None, workers: 1 },
        media,
        name_servers: Vec::new(),
        mesh: None,
        ladder: crate::ladder::Options::default(),
        hep: None,
        otlp: None,
        surroundings: crate::Surroundings::default(),
    };
    let node = Node::start(options).await.expect("starts");
    let files = [(PathBuf::from("test.toml"), TABLES.to_owned())];
    let document = routing::Document::parse(&files).expect("valid");
    node.shell().tables.apply(document, tables::Apply::default()).await.expect("applied");
    let address = node.shell().transports.locals()[0].1;
    (node, address)
}

/// One REGISTER with its challenge answered; without a Contact it only asks. Answers the Contacts.
async fn register(phone: &UdpSocket, to: SocketAddr, first: u32, contact: Option<&str>) -> Vec<String> {
    let uri = format!("sip:{to}");
    let mut challenge: Option<Challenge> = None;
    for cseq in first..first + 2 {
        let mut request = Builder::request(Method::Register, &uri)
            .header(Name::Via, format_args!("SIP/2.0/UDP x;branch=z9hG4bKr{cseq};rport"))
            .header(Name::From, "<sip:alice@test>;tag=1")
            .header(Name::To, "<sip:alice@test>")
            .header(Name::CallId, "one")
            .header(Name::CSeq, format_args!("{cseq} REGISTER"));
        contact.into_iter().for_each(|contact| request.add(Name::Contact, contact));
        if let Some(challenge) = challenge.as_mut() {
            request.add(challenge.header(), challenge.authorize("alice", "s3cret", "REGISTER", &uri, 1));
        }
        phone.send_to(&request.finish(), to).await.expect("sends");
        let mut buffer = [0; 4096];
        let length = timeout(PATIENCE, phone.recv(&mut buffer)).await.expect("in time").expect("reads");
        let response = Message::parse(bytes::Bytes::copy_from_slice(&buffer[..length])).expect("SIP");
        match Challenge::choose(&response) {
            Some(asked) => challenge = Some(asked),
            None => {
                assert_eq!(response.code(), Some(200));
                return response.values(Name::Contact).map(str::to_owned).collect();
            }
        }
    }
    panic!("the digest was not accepted");
}

/// The actors of AORs below `cell`.
fn awake(cell: &ActorCell, out: &mut Vec<ActorCell>) {
    for child in cell.get_children() {
        if child.is_message_type_of::<Act>() == Some(true) {
            out.push(child);
        } else {
            awake(&child, out);
        }
    }
}

#[tokio::test]
async fn a_killed_actor_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, address) = node(folder.path()).await;
    let phone = UdpSocket::bind("127.0.74.2:0").await.expect("a port");
    let contact = "<sip:alice@127.0.74.2:5070>";
    assert_eq!(register(&phone, address, 1, Some(contact)).await.len(), 1);
    let mut actors = Vec::new();
    awake(&node.root(), &mut actors);
    assert_eq!(actors.len(), 1, "one phone, one actor");
    actors[0].kill();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = Vec::new();
        awake(&node.root(), &mut left);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "it does not die");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.shell().contacts.hops("sip:alice@user.invalid", clock::now()).len(), 1, "calls still find her");
    let contacts = register(&phone, address, 3, None).await;
    assert!(contacts.len() == 1 && contacts[0].starts_with(contact), "{contacts:?}");
    assert_eq!(register(&phone, address, 5, Some(&format!("{contact};expires=0"))).await.len(), 0);
    assert!(node.shell().contacts.is_empty());
    node.stop(Duration::ZERO).await;
}

fn bound(name: &str, now: Now) -> Aor {
    let at = SocketAddr::from(([127, 0, 74, 3], 5060));
    let flow = Flow::new(Transport::Udp, at, at);
    let mut aor = Aor::new(Arc::from(name));
    let contact =
        ::registrar::Contact { uri: "sip:a@127.0.74.3", q: None, expires: Some(60), instance: None, reg_id: None };
    let register = ::registrar::Register {
        user: name.trim_start_matches("sip:").trim_end_matches("@user.invalid"),
        contacts: ::registrar::Contacts::List(&[contact]),
        expires: None,
        call_id: "c",
        cseq: 1,
        flow,
        path: None,
        user_agent: None,
    };
    aor.register(now, &register, &::registrar::Limits::default()).expect("accepted");
    aor
}

#[test]
fn what_has_run_out_is_neither_called_nor_counted() {
    let contacts = Contacts::default();
    let now = clock::now();
    contacts.store(&bound("sip:a@user.invalid", now), now).expect("room");
    assert_eq!((contacts.len(), contacts.hops("sip:a@user.invalid", now).len()), (1, 1));
    let later = Now { mono: now.mono + Duration::from_secs(61), wall: Wall(now.wall.0 + 61_000) };
    assert!(contacts.hops("sip:a@user.invalid", later).is_empty(), "even before anything was swept");
    assert!(contacts.list(None, 10, later, |_| true).iter().all(|one| one.bindings.is_empty()));
    (0..SHARDS).for_each(|shard| contacts.expire(shard, later));
    assert_eq!(contacts.len(), 0);
}

#[test]
fn addresses_are_listed_by_name_and_page_by_page() {
    let (contacts, now) = (Contacts::default(), clock::now());
    let names: Vec<String> = (0..25).map(|number| format!("sip:u{number:02}@user.invalid")).collect();
    names.iter().rev().for_each(|name| contacts.store(&bound(name, now), now).expect("room"));
    let (mut seen, mut after) = (Vec::new(), None::<Arc<str>>);
    loop {
        let page = contacts.list(after.as_deref(), 10, now, |_| true);
        assert!(page.iter().all(|one| one.bindings.len() == 1));
        seen.extend(page.iter().map(|one| one.aor.to_string()));
        after = page.last().map(|one| Arc::clone(&one.aor));
        if page.len() < 10 {
            break;
        }
    }
    assert_eq!(seen, names, "each once, in order");
    let ours = |shard| shard == routing::cluster::shard_of(&names[7]);
    assert!(contacts.list(None, 10, now, ours).iter().any(|one| *one.aor == *names[7]));
    assert!(contacts.list(None, 10, now, |_| false).is_empty());
    assert_eq!((contacts.count(|_| true), contacts.count(|_| false)), (25, 0));
    assert!((1..25).contains(&contacts.count(ours)));
    assert!(contacts.list(None, 0, now, |_| true).is_empty());
}

#[test]
fn a_jump_of_the_calendar_neither_ends_a_registration_nor_keeps_one() {
    let contacts = Contacts::default();
    let now = clock::now();
    contacts.store(&bound("sip:a@user.invalid", now), now).expect("room");
    for wall in [now.wall.0 + 3_600_000, now.wall.0 - 3_600_000] {
        let jumped = Now { mono: now.mono + Duration::from_secs(59), wall: Wall(wall) };
        assert_eq!(contacts.hops("sip:a@user.invalid", jumped).len(), 1);
        let over = Now { mono: now.mono + Duration::from_secs(61), wall: Wall(wall) };
        assert!(contacts.hops("sip:a@user.invalid", over).is_empty());
    }
}

/// Two nodes whose clocks have nothing in common.
#[test]
fn a_copy_keeps_what_is_left_of_a_binding_on_another_nodes_clock() {
    let (owner, backup) = (Contacts::default(), Contacts::default());
    let now = clock::now();
    owner.store(&bound("sip:a@user.invalid", now), now).expect("room");
    let sent = Now { mono: now.mono + Duration::from_secs(20), wall: now.wall };
    let copies = owner.copies(["sip:a@user.invalid"], sent);
    let there = Now { mono: now.mono + Duration::from_secs(7_200), wall: Wall(1_000) };
    backup.adopt(&copies, there).expect("room");
    let after = |seconds| Now { mono: there.mono + Duration::from_secs(seconds), ..there };
    assert_eq!(backup.hops("sip:a@user.invalid", after(39)).len(), 1, "twenty of sixty seconds had passed");
    assert!(backup.hops("sip:a@user.invalid", after(41)).is_empty());
    assert_eq!(backup.page(&[routing::cluster::shard_of("sip:a@user.invalid")], None, there).rows.len(), 1);
    assert!(backup.page(&[], None, there).rows.is_empty());
}
