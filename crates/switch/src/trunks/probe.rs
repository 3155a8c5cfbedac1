//! The two requests that a trunk's actor sends: OPTIONS to a gateway and REGISTER to a carrier.

use crate::clients::request;
use crate::resolver::transport_of;
use crate::shell::Shell;
use ::trunk::gateway::Outcome;
use ::trunk::registration::Answer;
use routing::model::{Gateway, Transport as Wire, Trunk};
use sip::digest::Challenge;
use sip::{Builder, Flow, Message, Method, Name};
use std::sync::Arc;
use std::time::Duration;

/// What a registration keeps from one REGISTER to the next.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    call_id: String,
    cseq: u32,
    challenge: Option<Challenge>,
}

impl Credentials {
    pub(super) fn new(seed: u64) -> Self {
        Self { call_id: format!("r{seed:016x}"), cseq: 0, challenge: None }
    }
}

/// Where and how a request of ours goes.
struct Way {
    flow: Flow,
    advertised: String,
}

async fn way(shell: &Shell, gateway: &Gateway) -> Option<Way> {
    let hop = shell.resolver.hops(std::slice::from_ref(gateway), 0).await.into_iter().next()?;
    let local = shell.locals.pick(hop.transport, hop.remote)?;
    let flow = Flow { transport: hop.transport, local: local.bound, remote: hop.remote, connection: 0 };
    Some(Way { flow, advertised: local.advertised.to_string() })
}

/// Asks a gateway whether it lives (RFC 3261 §11).
pub(super) async fn ping(shell: &Arc<Shell>, gateway: &Gateway) -> Outcome {
    let Some(way) = way(shell, gateway).await else { return Outcome::Silence };
    let branch = shell.clients.branch(shell.seed());
    let transport = transport_of(gateway).param();
    let uri = format!("sip:{}{}", gateway.address, if transport == "udp" { String::new() } else { format!(";transport={transport}") });
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
        Ok(response) => {
            let pause = response.retry_after().map(|seconds| Duration::from_secs(seconds.into()));
            Outcome::of(response.code().unwrap_or(0), pause)
        }
        Err(_) => Outcome::Silence,
    }
}

/// Registers with the carrier for `expires` seconds, or takes the binding back with 0.
pub(super) async fn register(
    shell: &Arc<Shell>,
    trunk: &Trunk,
    credentials: &mut Credentials,
    expires: u32,
    challenged: bool,
) -> Answer {
    let Some(row) = trunk.egress.as_ref().and_then(|egress| egress.register.as_ref()) else { return Answer::Silence };
    let registrar = Gateway { address: Arc::clone(&row.registrar), transport: Wire::Udp, priority: 1, weight: 1, ping_seconds: 0 };
    let Some(way) = way(shell, &registrar).await else { return Answer::Silence };
    let branch = shell.clients.branch(shell.seed());
    let uri = format!("sip:{}", row.registrar);
    let us = format!("<sip:{}@{}>", row.username, row.registrar);
    credentials.cseq += 1;
    let mut builder = head(Method::Register, &uri, &way, &branch)
        .header(Name::From, format_args!("{us};tag={:x}", shell.seed()))
        .header(Name::To, &us)
        .header(Name::CallId, &credentials.call_id)
        .header(Name::CSeq, format_args!("{} REGISTER", credentials.cseq))
        .header(Name::Contact, format_args!("<sip:{}@{}>", trunk.name, way.advertised))
        .header(Name::Expires, expires);
    if let Some(challenge) = credentials.challenge.as_mut().filter(|_| challenged) {
        let value = challenge.authorize(&row.username, &row.password, "REGISTER", &uri, shell.seed());
        builder.add(challenge.header(), value);
    }
    match request(shell, &branch, builder.finish(), way.flow).await {
        Ok(response) => answer(&response, credentials),
        Err(_) => Answer::Silence,
    }
}

fn answer(response: &Message, credentials: &mut Credentials) -> Answer {
    let pause = || response.retry_after().map(|seconds| Duration::from_secs(seconds.into()));
    match response.code().unwrap_or(0) {
        200..300 => Answer::Accepted { expires: granted(response) },
        401 | 407 => match Challenge::choose(response) {
            Some(challenge) => {
                credentials.challenge = Some(challenge);
                Answer::Challenged
            }
            None => Answer::Refused { retry_after: pause() },
        },
        423 => match response.get(Name::MinExpires).and_then(|v| v.trim().parse().ok()) {
            Some(min_expires) => Answer::TooBrief { min_expires },
            None => Answer::Refused { retry_after: pause() },
        },
        _ => Answer::Refused { retry_after: pause() },
    }
}

fn granted(response: &Message) -> Option<u32> {
    let of_contact = response.contact().and_then(|contact| contact.params.get("expires")?.parse().ok());
    of_contact.or_else(|| response.get(Name::Expires)?.trim().parse().ok())
}

fn head(method: Method, uri: &str, way: &Way, branch: &str) -> Builder {
    let via = format_args!("SIP/2.0/{} {};branch={branch};rport", way.flow.transport.via_token(), way.advertised).to_string();
    Builder::request(method, uri).header(Name::Via, via).header(Name::MaxForwards, 70).header(Name::UserAgent, "Tandem")
}
