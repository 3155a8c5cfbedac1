//! Reads trunks.

use super::fields::Fields;
use super::people::secret;
use super::value::{
    Problem, Read, Value, e164, flag, name, parsed, prefix, set, short, tech_prefix, text, username, whole, word, words,
};
use crate::model::{
    CallerPolicy, Egress, Gateway, Ingress, Media, Redirect, Referral, Registration, Srtp, Transport, Trunk,
    WithoutLeader, split_host_port,
};
use crate::row::Row;

pub(super) fn trunk(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let name = fields.need("name", name);
    let account = fields.get("account", super::value::name);
    let any = |value: &Value<'_>| whole(value, 0..=u32::MAX);
    let row = Trunk {
        account,
        channels: fields.get("channels", any).unwrap_or_default(),
        cps: fields.get("cps", any).unwrap_or_default(),
        without_leader: fields
            .get("without_leader", |value| word(value, WithoutLeader::of_word, WithoutLeader::WORDS))
            .unwrap_or_default(),
        max_call_seconds: fields.get("max_call_seconds", any).unwrap_or_default(),
        media: fields.get("media", |value| word(value, Media::of_word, Media::WORDS)).unwrap_or_default(),
        srtp: fields.get("srtp", |value| word(value, Srtp::of_word, Srtp::WORDS)).unwrap_or_default(),
        codecs: fields.get("codecs", |value| set(value, codec)).unwrap_or_default(),
        session_expires: fields.get("session_expires", session_expires).unwrap_or(Trunk::SESSION_EXPIRES),
        redirect: fields.get("redirect", |value| word(value, Redirect::of_word, Redirect::WORDS)).unwrap_or_default(),
        refer: fields.get("refer", |value| word(value, Referral::of_word, Referral::WORDS)).unwrap_or_default(),
        ingress: inner(fields, "ingress", ingress),
        egress: inner(fields, "egress", egress),
        ..Trunk::named(name.as_deref().unwrap_or_default())
    };
    if !fields.has("ingress") && !fields.has("egress") {
        fields.wrong("name", "it has neither `ingress` nor `egress`", "write [trunk.ingress], [trunk.egress] or both");
    }
    if row.egress.as_ref().is_some_and(|egress| egress.gateways.is_empty()) && !row.registers() {
        fields.wrong("egress", "it can be called nowhere", "write `gateways` in [trunk.egress], or let it register");
    }
    name.map(|_| Row::Trunk(row.into()))
}

/// Reads a table within the trunk.
fn inner<'t, 'i, T>(
    fields: &mut Fields<'t, 'i>,
    key: &'static str,
    read: impl FnOnce(&mut Fields<'t, 'i>) -> Option<T>,
) -> Option<T> {
    let mut inner = fields.table(key)?;
    let row = read(&mut inner);
    fields.absorb(inner);
    row
}

/// No session interval may be shorter than 90 seconds (RFC 4028 §4).
fn session_expires(value: &Value<'_>) -> Read<u32> {
    if let Ok(0) = whole(value, 0..=u32::MAX) { Ok(0) } else { whole(value, 90..=86_400) }
}

/// An encoding name of SDP (RFC 8866 §6.6).
fn codec(value: &Value<'_>) -> Read<String> {
    let text = text(value)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Ok(text.to_owned());
    }
    Err(Problem {
        span: value.span(),
        what: format!("{text:?} is no codec"),
        mend: "write its name in SDP, for example \"PCMA\"".into(),
    })
}

fn ingress(fields: &mut Fields<'_, '_>) -> Option<Ingress> {
    let user = fields.get("username", username);
    let ha1 = secret(fields, user.as_deref());
    let row = Ingress {
        from: fields.get("from", |value| set(value, parsed)).unwrap_or_default(),
        registers: fields.get("registers", flag).unwrap_or_default(),
        tech_prefix: fields.get("tech_prefix", tech_prefix).unwrap_or_default(),
        plan: fields.get("plan", name),
        caller_policy: fields
            .get("caller_policy", |value| word(value, CallerPolicy::of_word, CallerPolicy::WORDS))
            .unwrap_or_default(),
        default_caller: fields.get("default_caller", e164),
        allow: fields.get("allow", |value| set(value, prefix)).unwrap_or_default(),
        deny: fields.get("deny", |value| set(value, prefix)).unwrap_or_default(),
        username: user,
        ha1,
    };
    check_ingress(fields, &row);
    Some(row)
}

fn check_ingress(fields: &Fields<'_, '_>, row: &Ingress) {
    let digest = fields.has("username");
    let secret = fields.has("password") || fields.has("ha1") || fields.has("ha1_sha256");
    if !digest && (!fields.has("from") || fields.is_empty_list("from")) {
        fields.wrong("from", "nothing tells who may use it", "write `from`, or `username` and `password`, or both");
    }
    if digest && !secret {
        fields.wrong("username", "it has a `username` and no `password`", "write `password = \"…\"`");
    }
    if secret && !digest {
        fields.wrong("password", "it has a `password` and no `username`", "write `username = \"…\"`");
    }
    if row.registers && !digest {
        fields.wrong("registers", "what registers must be known by digest", "write `username` and `password`");
    }
    if row.caller_policy == CallerPolicy::Replace && !fields.has("default_caller") {
        fields.wrong("caller_policy", "`replace` needs a number to show", "write `default_caller = \"+…\"`");
    }
}

fn egress(fields: &mut Fields<'_, '_>) -> Option<Egress> {
    let gateways = fields.tables("gateways").unwrap_or_default();
    let gateways: Vec<_> = gateways.into_iter().filter_map(gateway).collect();
    for (at, gateway) in gateways.iter().enumerate() {
        let same = |before: &Gateway| before.address == gateway.address && before.transport == gateway.transport;
        if gateways[..at].iter().any(same) {
            fields.wrong(
                "gateways",
                &format!("gateway `{}` stands in it twice", gateway.address),
                "remove one of them",
            );
        }
    }
    Some(Egress {
        gateways,
        tech_prefix: fields.get("tech_prefix", tech_prefix).unwrap_or_default(),
        buy_deck: fields.get("buy_deck", name),
        timeout_seconds: fields
            .get("timeout_seconds", |value| whole(value, 1..=300))
            .unwrap_or(Egress::TIMEOUT_SECONDS),
        reroute: fields
            .get("reroute", |value| set(value, |item| short(item, 300..=699)))
            .unwrap_or_else(|| Egress::REROUTE.to_vec()),
        register: inner_register(fields),
    })
}

fn gateway(mut fields: Fields<'_, '_>) -> Option<Gateway> {
    let address = fields.need("address", host);
    let row = (|| {
        Some(Gateway {
            transport: fields
                .get("transport", |value| word(value, Transport::of_word, Transport::WORDS))
                .unwrap_or_default(),
            priority: fields.get("priority", |value| short(value, 0..=u16::MAX)).unwrap_or(Gateway::PRIORITY),
            weight: fields.get("weight", |value| short(value, 0..=u16::MAX)).unwrap_or(Gateway::WEIGHT),
            ping_seconds: fields.get("ping_seconds", |value| whole(value, 0..=3600)).unwrap_or_default(),
            address: address?,
        })
    })();
    fields.finish();
    row
}

fn inner_register(fields: &mut Fields<'_, '_>) -> Option<Registration> {
    inner(fields, "register", |fields| {
        let registrar = fields.need("registrar", host);
        let user = fields.need("username", username);
        let password = fields.need("password", words);
        let expires = fields.get("expires", |value| whole(value, 60..=86_400)).unwrap_or(Registration::EXPIRES);
        Some(Registration { registrar: registrar?, username: user?, password: password?, expires })
    })
}

/// A host with or without a port.
fn host(value: &Value<'_>) -> Read<crate::model::Name> {
    let text = text(value)?;
    if split_host_port(text).is_some() {
        return Ok(text.into());
    }
    Err(Problem {
        span: value.span(),
        what: format!("{text:?} is no host"),
        mend: "write \"sip.example.net\", \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"".into(),
    })
}
