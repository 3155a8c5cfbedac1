//! The two requests that a trunk's actor sends: OPTIONS to a gateway and REGISTER to a carrier.

use crate::clients::request;
use crate::shell::Shell;
use ::trunk::gateway::Outcome;
use ::trunk::registration::Answer;
use routing::model::{Gateway, Registration, Transport as Wire, Trunk};
use sip::addr::NameAddr;
use sip::digest::Challenge;
use sip::header::expires_seconds;
use sip::{Builder, Flow, Message, Method, Name, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long one server of the carrier may take to answer a REGISTER before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a registration keeps from one REGISTER to the next.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    call_id: String,
    cseq: u32,
    challenge: Option<Challenge>,
    seed: u64,
}

impl Credentials {
    pub(super) fn new(seed: u64) -> Self {
        Self { call_id: format!("r{seed:016x}"), cseq: 0, challenge: None, seed }
    }
}

/// Where and how a request of ours goes.
struct Way {
    flow: Flow,
    advertised: String,
}

impl Way {
    /// What a URI says of a transport that is not the usual one.
    fn uri_parameter(&self) -> String {
        match self.flow.transport {
            Transport::Udp => String::new(),
            named @ (Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss) => {
                format!(";transport={}", named.param())
            }
        }
    }
}

fn way(shell: &Shell, transport: Transport, remote: SocketAddr) -> Option<Way> {
    let local = shell.locals.pick(transport, remote)?;
    let flow = Flow::new(transport, local.bound, remote);
    Some(Way { flow, advertised: local.advertised.to_string() })
}

/// Asks a gateway whether it lives (RFC 3261 §11): all its targets at once, since a call goes to any that answers.
pub(super) async fn ping(shell: &Arc<Shell>, gateway: &Gateway) -> Outcome {
    let hops = shell.resolver.hops(std::slice::from_ref(gateway), shell.seed()).await;
    let mut asked = JoinSet::new();
    for way in hops.iter().filter_map(|hop| way(shell, hop.transport, hop.remote)) {
        let (shell, gateway) = (Arc::clone(shell), gateway.clone());
        asked.spawn(async move { ping_target(&shell, &gateway, way).await });
    }
    let mut outcome = Outcome::Silence;
    while let Some(answered) = asked.join_next().await {
        match answered.unwrap_or(Outcome::Silence) {
            Outcome::Response => return Outcome::Response,
            unavailable @ Outcome::Unavailable { .. } => outcome = unavailable,
            Outcome::Silence => {}
        }
    }
    outcome
}

async fn ping_target(shell: &Arc<Shell>, gateway: &Gateway, way: Way) -> Outcome {
    let branch = shell.clients.branch(shell.seed());
    let uri = format!("sip:{}{}", gateway.address, way.uri_parameter());
    let us = format!("<sip:ping@{}>", way.advertised);
    let bytes = head(Method::Options, &uri, &way, &branch)
        .header(Name::From, format_args!("{us};tag={:x}", shell.seed()))
        .header(Name::To, format_args!("<{uri}>"))
        .header(Name::CallId, format_args!("{:016x}", shell.seed()))
        .header(Name::CSeq, "1 OPTIONS")
        .header(Name::Contact, us)
        .header(Name::Accept, "application/sdp")
        .finish();
    match request(shell, &branch, bytes, way.flow).await {
        Ok(response) => Outcome::of(response.code().unwrap_or(0), pause(&response)),
        Err(_) => Outcome::Silence,
    }
}

/// Registers with the carrier for `expires` seconds, or takes the binding back with 0. The transport and the address are
/// those of NAPTR and SRV; the next target is tried when one is silent or overloaded (RFC 3263 §4.3).
pub(super) async fn register(shell: &Arc<Shell>, trunk: &Trunk, credentials: &mut Credentials, expires: u32) -> Answer {
    let Some(row) = trunk.egress.as_ref().and_then(|egress| egress.register.as_ref()) else { return Answer::Silence };
    let address = Arc::clone(&row.registrar);
    let registrar = Gateway { address, transport: Wire::Udp, priority: 1, weight: 1, ping_seconds: 0 };
    // The same seed every time: a refresh goes to the server that holds the binding.
    let (host, port) = registrar.host_port();
    let targets = shell.resolver.targets(host, port, None, credentials.seed).await;
    let mut last = Answer::Silence;
    for way in targets.iter().filter_map(|target| way(shell, target.transport, target.address)) {
        let asked =
            tokio::time::timeout(PATIENCE, register_at(shell, &trunk.name, row, credentials, expires, &way)).await;
        let (answer, code) = asked.unwrap_or((Answer::Silence, 0));
        last = answer;
        if answer != Answer::Silence && code != 503 {
            break;
        }
    }
    last
}

async fn register_at(
    shell: &Arc<Shell>,
    trunk: &str,
    row: &Registration,
    credentials: &mut Credentials,
    expires: u32,
    way: &Way,
) -> (Answer, u16) {
    let branch = shell.clients.branch(shell.seed());
    let uri = format!("sip:{}", row.registrar);
    let us = format!("<sip:{}@{}>", row.username, row.registrar);
    let contact = format!("sip:{trunk}@{}{}", way.advertised, way.uri_parameter());
    credentials.cseq += 1;
    let mut builder = head(Method::Register, &uri, way, &branch)
        .header(Name::From, format_args!("{us};tag={:x}", shell.seed()))
        .header(Name::To, &us)
        .header(Name::CallId, &credentials.call_id)
        .header(Name::CSeq, format_args!("{} REGISTER", credentials.cseq))
        .header(Name::Contact, format_args!("<{contact}>"))
        .header(Name::Expires, expires);
    // Once asked for, credentials are sent at once: every refresh would cost a second round otherwise.
    if let Some(challenge) = credentials.challenge.as_mut() {
        let value = challenge.authorize(&row.username, &row.password, "REGISTER", &uri, shell.seed());
        builder.add(challenge.header(), value);
    }
    match request(shell, &branch, builder.finish(), way.flow).await {
        Ok(response) => (answer(&response, credentials, &contact), response.code().unwrap_or(0)),
        Err(_) => (Answer::Silence, 0),
    }
}

fn pause(response: &Message) -> Option<Duration> {
    response.retry_after().map(|seconds| Duration::from_secs(seconds.into()))
}

fn answer(response: &Message, credentials: &mut Credentials, contact: &str) -> Answer {
    let refused = || Answer::Refused { retry_after: pause(response) };
    match response.code().unwrap_or(0) {
        200..300 => Answer::Accepted { expires: granted(response, contact) },
        401 | 407 => Challenge::choose(response).map_or_else(refused, |challenge| {
            credentials.challenge = Some(challenge);
            Answer::Challenged
        }),
        423 => response
            .get(Name::MinExpires)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map_or_else(refused, |min_expires| Answer::TooBrief { min_expires }),
        _ => refused(),
    }
}

/// What the registrar granted our own Contact: its answer lists those of others too (RFC 3261 §10.3). One that rewrote
/// ours leaves the shortest to believe.
fn granted(response: &Message, contact: &str) -> Option<u32> {
    let listed: Vec<(bool, u32)> = response
        .values(Name::Contact)
        .filter_map(NameAddr::parse)
        .filter_map(|addr| Some((addr.uri == contact, expires_seconds(addr.params.get("expires")?))))
        .collect();
    let ours = listed.iter().find(|(ours, _)| *ours).map(|(_, seconds)| *seconds);
    ours.or_else(|| response.get(Name::Expires).map(expires_seconds)).or_else(|| listed.iter().map(|(_, s)| *s).min())
}

fn head(method: Method, uri: &str, way: &Way, branch: &str) -> Builder {
    let via =
        format_args!("SIP/2.0/{} {};branch={branch};rport", way.flow.transport.via_token(), way.advertised).to_string();
    Builder::request(method, uri).header(Name::Via, via).header(Name::MaxForwards, 70).header(Name::UserAgent, "Tandem")
}
