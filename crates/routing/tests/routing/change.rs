//! Differences, their inverse, and what is said of them.

use crate::{change_of, read, tables_of};
use proptest::prelude::*;
use routing::model::{Account, Billing, Deck, Destination, Egress, Gateway, Ingress, Number, Order, PlanHead, Ported};
use routing::model::{Rate, Registration, Route, RouteTrunk, Transport, Trunk, User};
use routing::{Change, E164, Prefix, Row, Scope, Step, Tables};
use sip::clock::Wall;
use sip::digest::Ha1;
use std::sync::Arc;

const ACCOUNT: &str = "[[account]]\nname = \"a\"\ncurrency = \"EUR\"\n";
const USER: &str = "[[user]]\nname = \"u\"\naccount = \"a\"\npassword = \"p\"\n";

#[test]
fn a_document_declares_the_tables_that_it_names() {
    let tables = tables_of(&format!("{ACCOUNT}{USER}{}", USER.replace("\"u\"", "\"v\"")));
    let change = change_of(&tables, USER, Scope::Declare);
    assert_eq!(change.lines(&tables), ["- user v"]);
    let change = change_of(&tables, USER, Scope::Merge);
    assert!(change.is_empty());
    let change = change_of(&tables, "user = []\n", Scope::Declare);
    assert_eq!(change.lines(&tables), ["- user u", "- user v"]);
}

#[test]
fn the_first_lines_are_so_many_and_so_long_and_the_rest_is_counted() {
    let other = |name: &str| USER.replace("\"u\"", &format!("\"{name}\""));
    let tables = tables_of(&format!("{ACCOUNT}{USER}{}{}", other("v"), other("w")));
    let change = change_of(&tables, "user = []\n", Scope::Declare);
    let all = ["- user u", "- user v", "- user w"];
    assert_eq!(change.first_lines(&tables, 3, 24), all);
    assert_eq!(change.first_lines(&tables, 2, 24), ["- user u", "- user v", "and 1 more"]);
    assert_eq!(change.first_lines(&tables, 3, 15), ["- user u", "and 2 more"]);
}

#[test]
fn a_deck_written_without_rates_keeps_them() {
    let deck = "[[deck]]\nname = \"d\"\ncurrency = \"EUR\"\n";
    let rate = "[[deck.rate]]\nprefix = \"44\"\nrate = \"1\"\n";
    let tables = tables_of(&format!("{deck}{rate}"));
    assert!(change_of(&tables, deck, Scope::Declare).is_empty());
    let change = change_of(&tables, &format!("{deck}{}", rate.replace("44", "49")), Scope::Declare);
    assert_eq!(change.lines(&tables), ["- rate d \"44\"", "+ rate d \"49\""]);
    assert_eq!(change_of(&tables, "deck = []", Scope::Declare).lines(&tables), ["- deck d with 1 rate"]);
}

#[test]
fn a_plan_listed_is_listed_with_all_its_routes() {
    let trunk = "[[trunk]]\nname = \"t\"\negress = { gateways = [{ address = \"h\" }] }\n";
    let plan = "[[plan]]\nname = \"p\"\n[[plan.route]]\nprefix = \"44\"\ntrunks = [\"t\"]\n\
                hours = \"Mon 08:00-18:00 UTC\"\n";
    let tables = tables_of(&format!("{trunk}{plan}[[plan]]\nname = \"other\"\n"));
    let later = change_of(&tables, &plan.replace("18:00", "19:00"), Scope::Merge);
    let lines = ["- route p \"44\" Mon 08:00-18:00 UTC", "+ route p \"44\" Mon 08:00-19:00 UTC"];
    assert_eq!(later.lines(&tables), lines, "or else the old hours would overlap with the new");
    assert!(change_of(&tables, trunk, Scope::Merge).is_empty());
}

#[test]
fn a_change_is_said_key_by_key_and_shows_no_secret() {
    let trunk = "[[trunk]]\nname = \"t\"\nchannels = 30\n[trunk.ingress]\nusername = \"t\"\npassword = \"old\"\n\
                 [trunk.egress]\ngateways = [{ address = \"h\" }]\n\
                 register = { registrar = \"r\", username = \"x\", password = \"old\" }\n";
    let tables = tables_of(trunk);
    let text = trunk
        .replace("30", "40")
        .replace("\"old\"", "\"new\"")
        .replace("[trunk.egress]", "[trunk.egress]\ntech_prefix = \"9\"");
    let change = change_of(&tables, &text, Scope::Declare);
    let lines = change.lines(&tables);
    assert_eq!(
        lines,
        ["~ trunk t: channels 30 -> 40, ingress.ha1 (secret) changed, ingress.ha1_sha256 (secret) changed, \
             egress.tech_prefix (none) -> \"9\", egress.register (secret) changed"]
    );
    let mut after = tables.clone();
    after.apply(&change).unwrap();
    assert_eq!(after.trunks()["t"].channels, 40);
}

#[test]
fn the_same_document_twice_changes_nothing() {
    let text = format!("{ACCOUNT}{USER}");
    let tables = tables_of(&text);
    assert!(change_of(&tables, &text, Scope::Declare).is_empty());
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(vec!["a", "b", "c", "long-name.1"]).prop_map(Into::into)
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop::sample::select(vec!["", "4", "44", "447", "49", "*1"]).prop_map(|text| text.parse().expect("it reads"))
}

fn e164() -> impl Strategy<Value = E164> {
    (0..4u32).prop_map(|at| format!("+4420712300{at}").parse().expect("it reads"))
}

fn maybe<T: Clone + std::fmt::Debug>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(inner)
}

fn account() -> impl Strategy<Value = Row> {
    (name(), any::<bool>(), maybe(0..1000i64), maybe(name())).prop_map(|(name, prepaid, balance, plan)| {
        let billing = if prepaid { Billing::Prepaid } else { Billing::Postpaid };
        let balance = balance.filter(|_| prepaid).map(|cents| rust_decimal::Decimal::new(cents, 2));
        let currency = "EUR".parse().expect("it reads");
        let row = Account { name, currency, billing, balance, daily_spend_limit: None, sell_deck: None, plan };
        Row::Account(row.into())
    })
}

fn trunk() -> impl Strategy<Value = Row> {
    let gateway = (0..3u8, 0..3u16).prop_map(|(host, priority)| Gateway {
        address: format!("192.0.2.{host}:5060").into(),
        transport: Transport::Udp,
        priority,
        weight: 100,
        ping_seconds: 0,
    });
    let register =
        || Registration { registrar: "r".into(), username: "u".into(), password: "p\"\\".into(), expires: 300 };
    (name(), 0..3u32, maybe(name()), gateway, any::<bool>()).prop_map(move |(name, channels, plan, gateway, out)| {
        let ingress = plan.is_some().then(|| Ingress {
            from: vec!["10.0.0.0/8".parse().expect("it reads")],
            plan,
            ..Ingress::default()
        });
        let register = out.then(register);
        let egress = Some(Egress { gateways: vec![gateway], register, reroute: vec![503], ..Egress::default() });
        Row::Trunk(Trunk { channels, ingress, egress, ..Trunk::named(&name) }.into())
    })
}

fn route() -> impl Strategy<Value = Row> {
    let item = (name(), maybe(0..3u16), 0..200u16, any::<bool>())
        .prop_map(|(trunk, priority, weight, hairpin)| RouteTrunk { trunk, priority, weight, hairpin });
    let hours = maybe(prop::sample::select(vec!["Mon-Fri 08:00-18:00 Europe/Berlin", "Sat 22:00-02:00 UTC"]));
    (name(), prefix(), item, hours).prop_map(|(plan, prefix, item, hours)| {
        let hours = hours.map(|text| text.parse().expect("it reads"));
        Row::Route(Route { plan, prefix, trunks: vec![item].into(), hours })
    })
}

fn row() -> impl Strategy<Value = Row> {
    let plan = (name(), any::<bool>()).prop_map(|(name, cost)| {
        let order = if cost { Order::Cost } else { Order::Priority };
        Row::Plan(PlanHead { name, order, margin: None }.into())
    });
    let deck = name().prop_map(|name| Row::Deck(Deck { name, currency: "USD".parse().expect("it reads") }.into()));
    let rate = (name(), prefix(), 0..3i64, maybe(0..3u64)).prop_map(|(deck, prefix, rate, from)| {
        let (rate, connect_fee) = (rust_decimal::Decimal::new(rate, 4), rust_decimal::Decimal::ZERO);
        let from = from.map(|day| Wall(day * 86_400_000));
        Row::Rate(Rate { deck, prefix, rate, connect_fee, initial: 60, next: 60, from, to: None }.into())
    });
    let number = (e164(), name(), maybe(e164())).prop_map(|(number, user, failure)| {
        let to = Destination::User(user);
        let on_failure = failure.map(Destination::Number);
        let (account, ring_seconds, emergency_address) = (None, Some(20), None);
        Row::Number(Number { number, account, to, on_failure, ring_seconds, emergency_address }.into())
    });
    let user = (name(), maybe(e164())).prop_map(|(name, caller)| {
        let ha1 = Ha1::of_password(&name, routing::REALM, "p");
        Row::User(User { name, account: None, ha1, caller, plan: None }.into())
    });
    let ported = (e164(), e164()).prop_map(|(number, lrn)| Row::Ported(Ported { number, lrn }));
    prop_oneof![
        1 => account(), 1 => trunk(), 2 => plan, 4 => route(), 1 => deck,
        2 => rate, 1 => number, 1 => user, 1 => ported,
    ]
}

/// Rows in any order; those that stand in no plan or deck of these tables are left out.
fn tables() -> impl Strategy<Value = Tables> {
    prop::collection::vec(row(), 0..60).prop_map(|put| {
        let mut tables = Tables::default();
        tables.apply_unchecked(&Change { put, delete: vec![] });
        tables
    })
}

proptest! {
    #[test]
    fn a_difference_leads_there_and_its_inverse_back(before in tables(), after in tables()) {
        let change = before.diff(&after);
        let inverse = change.inverse(&before);
        let mut now = before.clone();
        now.apply_unchecked(&change);
        prop_assert!(now == after);
        now.apply_unchecked(&inverse);
        prop_assert!(now == before);
        prop_assert!(before.diff(&before.clone()).is_empty());
        prop_assert_eq!(change.lines(&before).len(), change.put.len() + change.delete.len());
    }

    #[test]
    fn steps_taken_one_by_one_lead_there_and_say_how_many_rows_there_are(before in tables(), after in tables()) {
        let (mut now, mut rows) = (before.clone(), before.rows().count() as u64);
        before.steps(&after, |step| {
            let mut change = Change::default();
            match step {
                Step::Added(row) => {
                    assert!(now.get(&row.key()).is_none(), "{}", row.key());
                    rows += 1;
                    change.put.push(row);
                }
                Step::Changed(row) => {
                    assert!(now.get(&row.key()).is_some_and(|was| was != row), "{}", row.key());
                    change.put.push(row);
                }
                Step::Gone(key, with_it) => {
                    assert!(now.get(&key).is_some(), "{key}");
                    rows -= 1 + with_it;
                    change.delete.push(key);
                }
            }
            now.apply_unchecked(&change);
        });
        prop_assert!(now == after);
        prop_assert_eq!(rows, after.rows().count() as u64);
    }

    #[test]
    fn rows_stored_and_loaded_are_the_same_tables(tables in tables()) {
        let mut loaded = Tables::default();
        for row in tables.rows() {
            loaded.put(postcard::from_bytes(&postcard::to_allocvec(&row).unwrap()).unwrap());
        }
        prop_assert!(loaded == tables);
    }

    #[test]
    fn tables_exported_read_back(tables in tables()) {
        let text = tables.to_toml();
        let mut again = Tables::default();
        let put = read(&text).unwrap().rows().cloned().collect();
        again.apply_unchecked(&Change { put, delete: vec![] });
        prop_assert!(again == tables, "{}", text);
    }
}
