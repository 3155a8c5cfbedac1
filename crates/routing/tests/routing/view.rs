//! What is published to the calls.

use crate::{change_of, tables_of};
use routing::{Origin, Prefix, Query, Scope, Touched, View};
use sip::clock::Wall;

const TEXT: &str = r#"
[[account]]
name = "a"
currency = "EUR"
[[user]]
name = "u"
account = "a"
password = "p"
caller = "+442071230009"
[[trunk]]
name = "wide"
[trunk.ingress]
from = ["10.0.0.0/8"]
[[trunk]]
name = "narrow"
[trunk.ingress]
from = ["10.1.0.0/16"]
username = "n"
password = "p"
[[number]]
number = "+442071230000"
account = "a"
to = "user:u"
"#;

#[test]
fn a_view_finds_trunks_and_owners() {
    let view = View::build(&tables_of(TEXT), 7);
    assert_eq!(view.revision, 7);
    let from = |address: &str| {
        view.trunks_from(address.parse().unwrap()).iter().map(|trunk| trunk.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(from("10.1.2.3"), ["narrow"]);
    assert_eq!(from("10.2.2.3"), ["wide"]);
    assert!(from("192.0.2.1").is_empty());
    assert_eq!(&*view.trunk_by_username("n").unwrap().name, "narrow");
    assert_eq!(view.users_of_account("a").len(), 1);
    assert!(view.owns("a", "+442071230000".parse().unwrap()));
    assert!(view.owns("a", "+442071230009".parse().unwrap()));
    assert!(!view.owns("b", "+442071230000".parse().unwrap()));
    assert!(!view.owns("a", "+442071230001".parse().unwrap()));
}

#[test]
fn a_view_rebuilt_shows_what_changed() {
    let before = tables_of(TEXT);
    let view = View::build(&before, 1);
    let more = "[[trunk]]\nname = \"new\"\n[trunk.ingress]\nfrom = [\"10.1.1.1\"]\n\
                [[user]]\nname = \"v\"\naccount = \"a\"\npassword = \"p\"\n\
                [[screen]]\nname = \"s\"\nblock_called = [\"44\"]\n\
                [[plan]]\nname = \"p\"\n";
    let change = change_of(&before, more, Scope::Merge);
    let mut after = before.clone();
    after.apply(&change).unwrap();
    let rebuilt = View::rebuild(&view, &after, &Touched::by(&change), 2);
    assert_eq!(rebuilt.revision, 2);
    assert_eq!(&*rebuilt.trunks_from("10.1.1.1".parse().unwrap())[0].name, "new");
    assert_eq!(rebuilt.users_of_account("a").len(), 2);
    assert!(rebuilt.trunk("new").is_some());
    assert!(view.trunk("new").is_none(), "the view that calls still hold stays as it was");
    let back = View::rebuild(&rebuilt, &before, &Touched::by(&change.inverse(&before)), 3);
    assert!(back.trunk("new").is_none());
    assert_eq!(back.users_of_account("a").len(), 1);
}

#[test]
fn a_plan_that_changes_is_indexed_again_and_its_trunks_are_read_afresh() {
    let trunks = "[[trunk]]\nname = \"t\"\nchannels = 1\negress = { gateways = [{ address = \"h\" }] }\n\
                  [[trunk]]\nname = \"in\"\ningress = { from = [\"10.0.0.1\"], plan = \"p\" }\n";
    let plan = "[[plan]]\nname = \"p\"\n[[plan.route]]\nprefix = \"44\"\ntrunks = [\"t\"]\n";
    let mut tables = tables_of(&format!("{trunks}{plan}"));
    let mut view = View::build(&tables, 1);
    let channels = |view: &View, called: &str| {
        let origin = Origin::Trunk(view.trunk("in").unwrap());
        let query = Query { origin, called, caller: "", at: Wall(0), seed: 0, explain: false };
        view.plan(&query).ok().map(|plan| plan.attempts[0].target.trunk().unwrap().channels)
    };
    assert_eq!((channels(&view, "+4420123"), channels(&view, "+4930123")), (Some(1), None));
    for text in [plan.replace("44", "49"), trunks.replace("channels = 1", "channels = 2")] {
        let change = change_of(&tables, &text, Scope::Merge);
        tables.apply(&change).unwrap();
        view = View::rebuild(&view, &tables, &Touched::by(&change), view.revision + 1);
    }
    assert_eq!((channels(&view, "+4420123"), channels(&view, "+4930123")), (None, Some(2)));
}

#[test]
fn a_view_finds_what_a_deck_charges_at_a_time() {
    let deck = "[[deck]]\nname = \"d\"\ncurrency = \"EUR\"\n\
                [[deck.rate]]\nprefix = \"44\"\nrate = \"0.01\"\n\
                [[deck.rate]]\nprefix = \"447\"\nrate = \"0.02\"\nfrom = \"2026-01-01T00:00:00Z\"\n";
    let view = View::build(&tables_of(deck), 1);
    let price = |deck: &str, number: &str, at: u64| {
        view.price(deck, Prefix::leading(number), Wall(at)).map(|price| price.rate.to_string())
    };
    let new_year = 1_767_225_600_000;
    assert_eq!(price("d", "+447700900000", new_year).as_deref(), Some("0.02"));
    assert_eq!(price("d", "+447700900000", new_year - 1).as_deref(), Some("0.01"));
    assert_eq!(price("d", "+4930123456", new_year), None);
    assert_eq!(price("e", "+447700900000", new_year), None);
}
