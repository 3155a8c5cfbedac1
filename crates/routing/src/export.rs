//! The tables as TOML, in a stable order. What is as if it were not written is left out.

use crate::model::{
    Account, Deck, Destination, Egress, Emergency, Gateway, Ingress, Number, PlanHead, Rate, Registration, Route,
    RouteTrunk, Screen, Trunk, User,
};
use crate::row::{Kind, Row};
use crate::tables::Tables;
use sip::digest::Ha1;
use std::fmt::{Display, Write};

impl Tables {
    /// As a document that reads back to the same tables; keys and rows in a stable order. The passwords of those who come
    /// to us stand as HA1 only; those that carriers gave us stand as they are.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for row in self.rows() {
            write_row(&mut text, &row);
        }
        text
    }
}

fn write_row(text: &mut String, row: &Row) {
    let header = match row.key().kind() {
        Kind::Route => "plan.route",
        Kind::Rate => "deck.rate",
        kind @ (Kind::Account | Kind::Deck | Kind::Plan | Kind::Trunk | Kind::Number) => kind.as_str(),
        kind @ (Kind::User | Kind::Ported | Kind::Screen) => kind.as_str(),
    };
    if !text.is_empty() {
        text.push('\n');
    }
    for section in sections(row) {
        if section.name.is_empty() {
            let _ = writeln!(text, "[[{header}]]");
        } else {
            let _ = writeln!(text, "\n[{header}.{}]", section.name);
        }
        for entry in section.keys {
            let _ = writeln!(text, "{} = {}", entry.key, entry.value);
        }
    }
}

/// The keys under one header; the first one of a row has no name.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) keys: Vec<Entry>,
}

/// A key and its value as TOML.
pub(crate) struct Entry {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    /// For humans: without secrets.
    pub(crate) masked: String,
}

const MASK: &str = "\"***\"";

impl Section {
    const fn new(name: &'static str) -> Self {
        Self { name, keys: Vec::new() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.keys.iter().find(|entry| entry.key == key)
    }

    fn put(&mut self, key: &'static str, value: String) {
        self.keys.push(Entry { key, masked: value.clone(), value });
    }

    fn secret(&mut self, key: &'static str, value: String, masked: String) {
        self.keys.push(Entry { key, value, masked });
    }

    fn text(&mut self, key: &'static str, value: impl Display) {
        self.put(key, quote(&value.to_string()));
    }

    fn optional(&mut self, key: &'static str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A text that is left out when it is empty.
    fn filled(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// A number or flag that is left out when it is as if not written.
    fn unless<T: Display + PartialEq>(&mut self, key: &'static str, value: T, default: T) {
        if value != default {
            self.put(key, value.to_string());
        }
    }

    fn list<T: Display>(&mut self, key: &'static str, items: &[T]) {
        if !items.is_empty() {
            self.put(key, bracket(items.iter().map(|item| quote(&item.to_string()))));
        }
    }

    fn hashes(&mut self, ha1: &Ha1) {
        self.secret("ha1", quote(&ha1.md5), MASK.into());
        if let Some(sha256) = &ha1.sha256 {
            self.secret("ha1_sha256", quote(sha256), MASK.into());
        }
    }
}

/// A row as it is written.
pub(crate) fn sections(row: &Row) -> Vec<Section> {
    let mut section = Section::new("");
    match row {
        Row::Account(row) => account(&mut section, row),
        Row::Deck(row) => deck(&mut section, row),
        Row::Rate(row) => rate(&mut section, row),
        Row::Plan(row) => plan(&mut section, row),
        Row::Route(row) => route(&mut section, row),
        Row::Number(row) => number(&mut section, row),
        Row::User(row) => user(&mut section, row),
        Row::Screen(row) => screen(&mut section, row),
        Row::Ported(row) => {
            section.text("number", row.number);
            section.text("lrn", row.lrn);
        }
        Row::Trunk(row) => {
            trunk(&mut section, row);
            let ingress = row.ingress.as_ref().map(ingress);
            let egress = row.egress.as_ref().map(egress);
            return std::iter::once(section).chain(ingress).chain(egress).collect();
        }
    }
    vec![section]
}

fn account(to: &mut Section, row: &Account) {
    to.text("name", &row.name);
    to.text("currency", row.currency);
    to.text("billing", row.billing);
    to.optional("balance", row.balance);
    to.optional("daily_spend_limit", row.daily_spend_limit);
    to.optional("sell_deck", row.sell_deck.as_ref());
    to.optional("plan", row.plan.as_ref());
}

fn deck(to: &mut Section, row: &Deck) {
    to.text("name", &row.name);
    to.text("currency", row.currency);
}

fn rate(to: &mut Section, row: &Rate) {
    to.text("prefix", row.prefix);
    to.text("rate", row.rate);
    to.text("connect_fee", row.connect_fee);
    to.put("initial", row.initial.to_string());
    to.put("next", row.next.to_string());
    to.optional("from", row.from.map(crate::time::show));
    to.optional("to", row.to.map(crate::time::show));
}

fn plan(to: &mut Section, row: &PlanHead) {
    to.text("name", &row.name);
    to.text("order", row.order);
    to.optional("margin", row.margin);
}

fn route(to: &mut Section, row: &Route) {
    to.text("prefix", row.prefix);
    to.put("trunks", bracket(row.trunks.iter().map(route_trunk)));
    to.optional("hours", row.hours.as_ref());
}

fn route_trunk(item: &RouteTrunk) -> String {
    let mut keys = Section::new("");
    keys.text("trunk", &item.trunk);
    if let Some(priority) = item.priority {
        keys.put("priority", priority.to_string());
    }
    keys.unless("weight", item.weight, RouteTrunk::DEFAULT_WEIGHT);
    keys.unless("hairpin", item.hairpin, false);
    if keys.keys.len() == 1 { quote(&item.trunk) } else { brace(&keys, |entry| &entry.value) }
}

fn number(to: &mut Section, row: &Number) {
    to.text("number", row.number);
    to.optional("account", row.account.as_ref());
    to.text("to", &row.to);
    to.optional("on_failure", row.on_failure.as_ref().map(Destination::to_string));
    to.unless("ring_seconds", row.ring_seconds.unwrap_or(0), 0);
    to.optional("emergency_address", row.emergency_address.as_ref());
}

fn user(to: &mut Section, row: &User) {
    to.text("name", &row.name);
    to.optional("account", row.account.as_ref());
    to.hashes(&row.ha1);
    to.optional("caller", row.caller);
    to.optional("plan", row.plan.as_ref());
}

fn screen(to: &mut Section, row: &Screen) {
    to.text("name", &row.name);
    to.list("block_called", &row.block_called);
    to.list("block_caller", &row.block_caller);
    if !row.emergency.is_empty() {
        to.put("emergency", bracket(row.emergency.iter().map(emergency)));
    }
}

fn emergency(entry: &Emergency) -> String {
    let mut keys = Section::new("");
    keys.text("number", entry.number);
    keys.list("trunks", &entry.trunks);
    brace(&keys, |entry| &entry.value)
}

fn trunk(to: &mut Section, row: &Trunk) {
    to.text("name", &row.name);
    to.optional("account", row.account.as_ref());
    to.unless("channels", row.channels, 0);
    to.unless("cps", row.cps, 0);
    to.text("without_leader", row.without_leader);
    to.unless("max_call_seconds", row.max_call_seconds, 0);
    to.text("media", row.media);
    to.text("srtp", row.srtp);
    to.list("codecs", &row.codecs);
    to.unless("session_expires", row.session_expires, Trunk::SESSION_EXPIRES);
    to.text("redirect", row.redirect);
    to.text("refer", row.refer);
}

fn ingress(row: &Ingress) -> Section {
    let mut to = Section::new("ingress");
    to.list("from", &row.from);
    to.optional("username", row.username.as_ref());
    if let Some(ha1) = &row.ha1 {
        to.hashes(ha1);
    }
    to.unless("registers", row.registers, false);
    to.filled("tech_prefix", &row.tech_prefix);
    to.optional("plan", row.plan.as_ref());
    to.text("caller_policy", row.caller_policy);
    to.optional("default_caller", row.default_caller);
    to.list("allow", &row.allow);
    to.list("deny", &row.deny);
    to
}

fn egress(row: &Egress) -> Section {
    let mut to = Section::new("egress");
    if !row.gateways.is_empty() {
        to.put("gateways", bracket(row.gateways.iter().map(gateway)));
    }
    to.filled("tech_prefix", &row.tech_prefix);
    to.optional("buy_deck", row.buy_deck.as_ref());
    to.unless("timeout_seconds", row.timeout_seconds, Egress::TIMEOUT_SECONDS);
    if row.reroute != Egress::REROUTE {
        to.put("reroute", bracket(row.reroute.iter().map(ToString::to_string)));
    }
    if let Some(row) = &row.register {
        let keys = registration(row);
        to.secret("register", brace(&keys, |entry| &entry.value), brace(&keys, |entry| &entry.masked));
    }
    to
}

fn gateway(row: &Gateway) -> String {
    let mut keys = Section::new("");
    keys.text("address", &row.address);
    keys.text("transport", row.transport);
    keys.unless("priority", row.priority, Gateway::PRIORITY);
    keys.unless("weight", row.weight, Gateway::WEIGHT);
    keys.unless("ping_seconds", row.ping_seconds, 0);
    brace(&keys, |entry| &entry.value)
}

fn registration(row: &Registration) -> Section {
    let mut keys = Section::new("");
    keys.text("registrar", &row.registrar);
    keys.text("username", &row.username);
    keys.secret("password", quote(&row.password), MASK.into());
    keys.unless("expires", row.expires, Registration::EXPIRES);
    keys
}

fn bracket(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn brace(keys: &Section, value: fn(&Entry) -> &String) -> String {
    let pairs: Vec<_> = keys.keys.iter().map(|entry| format!("{} = {}", entry.key, value(entry))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for sign in text.chars() {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            sign if sign.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(sign));
            }
            sign => quoted.push(sign),
        }
    }
    quoted.push('"');
    quoted
}
