//! Reads accounts, lines, numbers, ported numbers and screens.

use super::fields::Fields;
use super::value::{e164, list, money, name, parsed, prefix, price, set, text, whole, word, words};
use crate::REALM;
use crate::model::{Account, Billing, Emergency, Number, Ported, Screen, User};
use crate::row::Row;
use sip::digest::Ha1;

pub(super) fn account(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let name = fields.need("name", name);
    let currency = fields.need("currency", parsed);
    let billing = fields.get("billing", |value| word(value, Billing::of_word, Billing::WORDS)).unwrap_or_default();
    let balance = fields.get("balance", money);
    if balance.is_some() && billing != Billing::Prepaid {
        fields.wrong(
            "balance",
            "`balance` is for prepaid accounts",
            "write `billing = \"prepaid\"`, or remove `balance`",
        );
    }
    let row = Account {
        name: name?,
        currency: currency?,
        billing,
        balance,
        daily_spend_limit: fields.get("daily_spend_limit", price),
        sell_deck: fields.get("sell_deck", super::value::name),
        plan: fields.get("plan", super::value::name),
    };
    Some(Row::Account(row.into()))
}

pub(super) fn user(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let name = fields.need("name", name);
    let ha1 = secret(fields, name.as_deref());
    if ha1.is_none() && !fields.has("password") && !fields.has("ha1") {
        fields.wrong("name", "it has neither `password` nor `ha1`", "write `password = \"…\"`");
    }
    let row = User {
        name: name?,
        account: fields.get("account", super::value::name),
        ha1: ha1?,
        caller: fields.get("caller", e164),
        plan: fields.get("plan", super::value::name),
    };
    Some(Row::User(row.into()))
}

/// A password as given, or its hashes; what is given as a password leaves here as hashes only.
pub(super) fn secret(fields: &mut Fields<'_, '_>, username: Option<&str>) -> Option<Ha1> {
    let password = fields.get("password", words);
    let md5 = fields.get("ha1", |value| hash(value, 32));
    let sha256 = fields.get("ha1_sha256", |value| hash(value, 64));
    match (password, md5, sha256) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            fields.wrong("ha1", "it has both `password` and `ha1`", "keep one of them");
            None
        }
        (Some(password), None, None) => Some(Ha1::of_password(username?, REALM, &password)),
        (None, Some(md5), sha256) => Some(Ha1 { md5, sha256 }),
        (None, None, Some(_)) => {
            fields.wrong("ha1_sha256", "it has `ha1_sha256` without `ha1`", "write `ha1` too, or `password` instead");
            None
        }
        (None, None, None) => None,
    }
}

fn hash(value: &super::value::Value<'_>, length: usize) -> super::value::Read<String> {
    let text = text(value)?;
    if text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(super::value::Problem {
        span: value.span(),
        what: "it is no hash of that kind".into(),
        mend: format!("write the {length} hexadecimal digits of H(username:{REALM}:password)"),
    })
}

pub(super) fn number(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let number = fields.need("number", e164);
    let to = fields.need("to", parsed);
    let row = Number {
        number: number?,
        account: fields.get("account", name),
        to: to?,
        on_failure: fields.get("on_failure", parsed),
        ring_seconds: fields.get("ring_seconds", |value| whole(value, 1..=3600)),
        emergency_address: fields.get("emergency_address", |value| words(value).map(|text| text.to_string())),
    };
    Some(Row::Number(row.into()))
}

pub(super) fn ported(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let number = fields.need("number", e164);
    let lrn = fields.need("lrn", e164);
    Some(Row::Ported(Ported { number: number?, lrn: lrn? }))
}

pub(super) fn screen(fields: &mut Fields<'_, '_>) -> Option<Row> {
    let name = fields.need("name", name);
    let block_called = fields.get("block_called", |value| set(value, prefix)).unwrap_or_default();
    let block_caller = fields.get("block_caller", |value| set(value, prefix)).unwrap_or_default();
    let emergency = fields.tables("emergency").unwrap_or_default();
    let emergency = emergency.into_iter().filter_map(|mut entry| {
        let read = read_emergency(&mut entry);
        // The lines within one of several entries would pass for those of all.
        entry.finish();
        read
    });
    let emergency = emergency.collect();
    Some(Row::Screen(Screen { name: name?, block_called, block_caller, emergency }.into()))
}

fn read_emergency(fields: &mut Fields<'_, '_>) -> Option<Emergency> {
    let number = fields.need("number", prefix);
    let trunks = fields.need("trunks", |value| list(value, name));
    if number.is_some_and(|number| number.is_empty()) || trunks.as_ref().is_some_and(Vec::is_empty) {
        fields.wrong("number", "an emergency number needs digits and at least one trunk", "write both");
    }
    Some(Emergency { number: number?, trunks: trunks? })
}
