//! Phones that register at nodes drawn from a seed, when they are told to.

use crate::wire::Datagram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use sip::digest::Challenge;
use sip::{Builder, Message, Method, Name};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use switch::transport::net::Datagrams;

/// Where they are.
pub(crate) const PHONES: &str = "127.0.9.30:5060";
/// How many there are.
pub(crate) const COUNT: usize = 8;
/// When a request is sent again, and how often before another node is tried.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: usize = 6;

/// What they are told, and what came of it.
#[derive(Default)]
pub(crate) struct Phones {
    pub(crate) register: Cell<bool>,
    pub(crate) registered: RefCell<BTreeSet<String>>,
}

/// The rows of the phones.
pub(crate) fn tables() -> String {
    let row =
        |phone| format!("[[user]]\nname = \"{}\"\naccount = \"acme\"\npassword = \"{}\"\n", name(phone), name(phone));
    (0..COUNT).map(row).collect()
}

pub(crate) fn name(phone: usize) -> String {
    format!("phone{phone}")
}

/// The host.
pub(crate) async fn live(nodes: Vec<SocketAddr>, seed: u64, phones: Rc<Phones>) -> turmoil::Result {
    let socket = Datagram::bind(PHONES.parse()?)?;
    let mut chance = StdRng::seed_from_u64(seed ^ 0xb0b);
    let mut turn = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let waiting = (0..COUNT).map(name).find(|name| !phones.registered.borrow().contains(name));
        let (Some(phone), true) = (waiting, phones.register.get()) else { continue };
        turn += 1;
        let node = *nodes.choose(&mut chance).expect("nodes");
        if register(&socket, node, &phone, turn).await {
            phones.registered.borrow_mut().insert(phone);
        }
    }
}

/// Whether it was taken.
async fn register(socket: &Datagram, node: SocketAddr, phone: &str, turn: u64) -> bool {
    let uri = format!("sip:{node}");
    let mut challenge: Option<Challenge> = None;
    for cseq in 1..=2 {
        let mut request = Builder::request(Method::Register, &uri)
            .header(Name::Via, format_args!("SIP/2.0/UDP {PHONES};branch=z9hG4bK-{phone}-{turn}-{cseq};rport"))
            .header(Name::MaxForwards, 70)
            .header(Name::From, format_args!("<sip:{phone}@{}>;tag={phone}-{turn}", node.ip()))
            .header(Name::To, format_args!("<sip:{phone}@{}>", node.ip()))
            .header(Name::CallId, format_args!("register-{phone}-{turn}"))
            .header(Name::CSeq, format_args!("{cseq} REGISTER"))
            .header(Name::Contact, format_args!("<sip:{phone}@{PHONES}>;expires=600"));
        if let Some(challenge) = challenge.as_mut() {
            request.add(challenge.header(), challenge.authorize(phone, phone, "REGISTER", &uri, 7));
        }
        let Some(response) = ask(socket, node, &request.finish(), cseq).await else { return false };
        match response.code() {
            Some(200) => return true,
            Some(401) => challenge = Challenge::choose(&response),
            Some(_) | None => return false,
        }
    }
    false
}

/// Sends until an answer to this very request comes.
async fn ask(socket: &Datagram, node: SocketAddr, request: &[u8], cseq: u32) -> Option<Message> {
    let sent = Message::parse(request.to_vec().into()).ok()?;
    let mut buffer = [0; 4096];
    for _ in 0..TRIES {
        // A lost one is sent again.
        let _ = socket.try_send(request, node);
        let until = tokio::time::Instant::now() + AGAIN;
        loop {
            let readable = std::future::poll_fn(|cx| socket.poll_readable(cx));
            if tokio::time::timeout_at(until, readable).await.is_err() {
                break;
            }
            let Ok((length, _)) = socket.try_receive(&mut buffer) else { continue };
            let Ok(response) = Message::parse(buffer[..length].to_vec().into()) else { continue };
            let ours = response.get(Name::CallId) == sent.get(Name::CallId)
                && response.get(Name::CSeq) == Some(&format!("{cseq} REGISTER"));
            if ours && response.code().is_some_and(|code| code >= 200) {
                return Some(response);
            }
        }
    }
    None
}
