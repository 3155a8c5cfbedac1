//! Rules between rows, each with the line of what broke it.

use crate::{complaints, tables_of};
use routing::{Change, RowKey, Scope, Tables};

#[track_caller]
fn complains(text: &str, line: u32, words: &str) {
    let said = complaints(text);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with(&format!("t.toml:{line}: ")), "{said:#?}");
    assert!(said[0].contains(words), "{said:#?}");
}

const TRUNK: &str = "[[trunk]]\nname = \"t\"\negress = { gateways = [{ address = \"h\" }] }\n";
const DEAF: &str = "[[trunk]]\nname = \"t\"\n[trunk.ingress]\nfrom = [\"10.0.0.1\"]\n";

#[test]
fn what_is_named_exists() {
    let account = "[[account]]\nname = \"a\"\ncurrency = \"EUR\"\n";
    complains(&format!("{account}sell_deck = \"d\"\n"), 4, "`sell_deck` names deck `d`, which does not exist");
    complains(&format!("{account}plan = \"p\"\n"), 4, "`plan` names plan `p`");
    complains("[[user]]\nname = \"u\"\npassword = \"p\"\naccount = \"a\"\n", 4, "account `a`");
    complains(&format!("{DEAF}plan = \"p\"\n"), 5, "plan `p`");
    complains(&format!("{TRUNK}account = \"a\"\n"), 4, "account `a`");
    complains("[[plan]]\nname = \"p\"\n[[plan.route]]\nprefix = \"44\"\ntrunks = [\"t\"]\n", 5, "trunk `t`");
    let number = "[[number]]\nnumber = \"+442071230000\"\n";
    complains(&format!("{number}to = \"trunk:t\"\n"), 3, "trunk `t`");
    complains(&format!("{number}to = \"user:u\"\n"), 3, "user `u`");
    complains(&format!("{number}to = \"number:+4930123\"\non_failure = \"plan:p\"\n"), 4, "plan `p`");
    complains("[[screen]]\nname = \"s\"\nemergency = [{ number = \"112\", trunks = [\"t\"] }]\n", 1, "trunk `t`");
}

#[test]
fn a_trunk_that_is_called_takes_calls() {
    complains(&format!("{DEAF}[[number]]\nnumber = \"+442071230000\"\nto = \"trunk:t\"\n"), 7, "no gateway");
}

#[test]
fn what_no_node_does_yet_is_refused_and_not_ignored() {
    complains(&format!("{TRUNK}srtp = \"required\"\n"), 4, "does not encrypt media");
    let tls = "[[trunk]]\nname = \"t\"\n[trunk.egress]\ngateways = [{ address = \"h\", transport = \"tls\" }]\n";
    complains(tls, 1, "does not speak TLS");
}

#[test]
fn a_request_tells_which_trunk_it_is() {
    let other = "[[trunk]]\nname = \"u\"\n[trunk.ingress]\nfrom = [\"10.0.0.1/32\"]\n";
    complains(&format!("{DEAF}{other}"), 8, "nothing tells them apart");
    assert_eq!(complaints(&format!("{DEAF}{other}tech_prefix = \"9\"\n")), [] as [&str; 0]);
    assert_eq!(complaints(&format!("{DEAF}{other}username = \"u\"\npassword = \"p\"\n")), [] as [&str; 0]);
    let user = "[[user]]\nname = \"u\"\npassword = \"p\"\n";
    complains(&format!("{user}{other}username = \"u\"\npassword = \"p\"\n"), 8, "`u` is that of user u too");
}

#[test]
fn hours_of_one_prefix_do_not_overlap() {
    let plan = format!("{TRUNK}[[plan]]\nname = \"p\"\n");
    let route = |hours: &str| format!("[[plan.route]]\nprefix = \"44\"\ntrunks = [\"t\"]\nhours = \"{hours}\"\n");
    let day = route("Mon-Fri 08:00-18:00 Europe/Berlin");
    let clash = route("Fri 17:00-19:00 Europe/Berlin");
    complains(&format!("{plan}{day}{clash}"), 9, "may overlap");
    assert_eq!(complaints(&format!("{plan}{day}{}", route("Fri 18:00-19:00 Europe/Berlin"))), [] as [&str; 0]);
    complains(&format!("{plan}{day}{day}"), 10, "a second time");
}

#[test]
fn numbers_do_not_lead_in_a_circle() {
    let number = |from: u32, to: u32| format!("[[number]]\nnumber = \"+4420{from}\"\nto = \"number:+4420{to}\"\n");
    let said = complaints(&format!("{}{}", number(10, 11), number(11, 10)));
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("t.toml:3: ") && said[0].contains("circle"), "{said:?}");
    let chain: String = (10..17).map(|at| number(at, at + 1)).collect();
    assert_eq!(complaints(&chain), [] as [&str; 0]);
    let long: String = (10..19).map(|at| number(at, at + 1)).collect();
    assert_eq!(complaints(&long).len(), 1);
}

#[test]
fn an_emergency_number_stands_once() {
    let screen = |name: &str| {
        format!("[[screen]]\nname = \"{name}\"\n[[screen.emergency]]\nnumber = \"112\"\ntrunks = [\"t\"]\n")
    };
    complains(&format!("{TRUNK}{}{}", screen("a"), screen("b")), 9, "twice among the screens");
}

#[test]
fn a_change_that_breaks_the_tables_changes_nothing() {
    let text = format!("{TRUNK}[[number]]\nnumber = \"+442071230000\"\nto = \"trunk:t\"\n");
    let mut tables = tables_of(&text);
    let before = tables.clone();
    let change = Change { put: vec![], delete: vec![RowKey::Trunk("t".into())] };
    let errors = tables.apply(&change).unwrap_err();
    assert!(errors[0].to_string().starts_with("number +442071230000: `to` names trunk `t`"), "{errors:?}");
    assert!(tables == before);
}

#[test]
fn a_fault_in_a_row_that_no_file_holds_names_the_row() {
    let tables = tables_of(&format!("{TRUNK}[[number]]\nnumber = \"+442071230000\"\nto = \"trunk:t\"\n"));
    let document = crate::read("trunk = []\n").unwrap();
    let errors = tables.plan_change(&document, Scope::Declare).unwrap_err();
    assert!(errors[0].to_string().starts_with("number +442071230000: "), "{errors:?}");
    assert!(tables.plan_change(&document, Scope::Merge).unwrap().is_empty());
    assert!(Tables::default().validate().is_ok());
}
