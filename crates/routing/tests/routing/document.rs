//! What a document may say, and what is said when it may not.

use crate::{EXAMPLE, complaints, read, tables_of};
use routing::model::{CallerPolicy, Order, Redirect, Referral, Trunk, WithoutLeader};
use routing::{Document, REALM, Row, RowKey, Tables};
use sip::digest::Ha1;

/// What the example names and does not hold.
const REST: &str = r#"
[[deck]]
name = "acme-sell"
currency = "EUR"
[[trunk]]
name = "alpha"
egress = { gateways = [{ address = "192.0.2.1" }] }
[[trunk]]
name = "beta"
egress = { gateways = [{ address = "[2001:db8::1]:5080", transport = "tcp" }] }
[[ported]]
number = "+447700900001"
lrn = "+447999000000"
[[screen]]
name = "world"
block_called = ["882"]
block_caller = ["4470"]
emergency = [{ number = "112", trunks = ["alpha", "beta"] }]
"#;

fn whole() -> String {
    format!("{EXAMPLE}{REST}")
}

#[test]
fn the_example_reads_whole() {
    let document = read(EXAMPLE).unwrap();
    assert_eq!(document.rows().count(), 8);
    let tables = tables_of(&whole());
    let trunk = &tables.trunks()["acme-pbx"];
    assert_eq!((trunk.channels, trunk.cps, trunk.max_call_seconds, trunk.session_expires), (30, 10, 14400, 1800));
    assert_eq!((trunk.redirect, trunk.refer), (Redirect::Follow, Referral::Pass));
    let ingress = trunk.ingress.as_ref().unwrap();
    assert_eq!(ingress.from[0].to_string(), "127.0.9.1/32");
    assert_eq!(ingress.ha1, Some(Ha1::of_password("acme-pbx", REALM, "s3cret")));
    assert_eq!(ingress.caller_policy, CallerPolicy::Owned);
    assert_eq!((ingress.allow.len(), ingress.deny.len(), ingress.registers), (3, 1, true));
    let egress = trunk.egress.as_ref().unwrap();
    assert_eq!(egress.gateways[0].host_port(), ("127.0.9.10", Some(5080)));
    assert_eq!(egress.gateways[0].ping_seconds, 10);
    assert_eq!(&*egress.register.as_ref().unwrap().password, "p");
    assert_eq!(tables.plans()["retail"].head().order, Order::Cost);
    assert_eq!(tables.plans()["retail"].iter().next().unwrap().trunks[1].weight, 30);
    assert_eq!(tables.users()["alice"].ha1, Ha1::of_password("alice", REALM, "…"));
    assert_eq!(tables.decks()["alpha-buy"].rates().next().unwrap().rate.to_string(), "0.0100");
    assert_eq!(tables.trunks()["beta"].egress.as_ref().unwrap().gateways[0].host_port(), ("2001:db8::1", Some(5080)));
}

#[test]
fn what_is_exported_reads_back_to_the_same() {
    let tables = tables_of(&whole());
    let text = tables.to_toml();
    let again = tables_of(&text);
    assert!(again == tables, "{text}");
    assert_eq!(again.to_toml(), text);
    assert!(!text.contains("s3cret"), "a password of ours must not be exported");
}

#[test]
fn a_trunk_says_what_a_node_does_without_the_leader_of_its_limits() {
    let with = |line: &str| {
        format!("[[trunk]]\nname = \"a\"\nchannels = 5\n{line}[trunk.egress]\ngateways = [{{ address = \"h\" }}]\n")
    };
    assert_eq!(tables_of(&with("")).trunks()["a"].without_leader, WithoutLeader::Spend);
    let tables = tables_of(&with("without_leader = \"refuse\"\n"));
    assert_eq!(tables.trunks()["a"].without_leader, WithoutLeader::Refuse);
    assert!(tables.to_toml().contains("without_leader = \"refuse\""));
    assert!(tables_of(&tables.to_toml()) == tables);
    complains(&with("without_leader = \"hope\"\n"), 4, "write spend, refuse");
}

#[test]
fn a_trunk_stored_before_it_could_say_so_still_reads() {
    let mut row = serde_json::to_value(Trunk::named("a")).unwrap();
    row.as_object_mut().unwrap().remove("without_leader");
    assert_eq!(serde_json::from_value::<Trunk>(row).unwrap(), Trunk::named("a"));
}

#[test]
fn text_that_needs_escapes_comes_back() {
    let text = "[[number]]\nnumber = \"+442071230000\"\nto = \"number:+49301234567\"\n\
                emergency_address = \"1 \\\"High\\\" St \\\\ ½\"";
    let tables = tables_of(text);
    assert!(tables_of(&tables.to_toml()) == tables);
}

#[test]
fn rows_keep_their_key_in_storage() {
    for row in tables_of(&whole()).rows() {
        let key = row.key();
        assert_eq!(RowKey::of_bytes(&key.to_bytes()), Some(key));
        let bytes = postcard::to_allocvec(&row).unwrap();
        assert!(postcard::from_bytes::<Row>(&bytes).unwrap() == row);
    }
    assert_eq!(RowKey::of_bytes(b""), None);
    assert_eq!(RowKey::of_bytes(b"N123"), None);
    assert_eq!(RowKey::of_bytes(b"?abc"), None);
}

#[test]
fn files_combine_and_a_name_stands_once() {
    let account =
        |file: &str, lines: &str| (file.into(), format!("{lines}[[account]]\nname = \"a\"\ncurrency = \"EUR\"\n"));
    let both = [account("one.toml", ""), account("two.toml", "\n\n")];
    let errors = Document::parse(&both).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "two.toml:3: `account a` is written a second time, first at one.toml:1; remove or rename one of them"
    );
    let user = ("two.toml".into(), "[[user]]\nname = \"u\"\naccount = \"a\"\npassword = \"p\"\n".to_owned());
    let document = Document::parse(&[account("one.toml", ""), user]).unwrap();
    assert!(Tables::default().plan_change(&document, routing::Scope::Declare).is_ok());
}

/// The one complaint about a document begins with its line, and holds the words.
#[track_caller]
fn complains(text: &str, line: u32, words: &str) {
    let said = complaints(text);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with(&format!("t.toml:{line}: ")), "{said:#?}");
    assert!(said[0].contains(words), "{said:#?}");
    assert!(said[0].contains("; "), "it does not say how to mend: {said:#?}");
}

#[test]
fn broken_toml_has_its_line() {
    complains("[[account]]\nname = \"a\"\ncurrency = EUR\n", 3, "TOML");
    complains("[[account]]\nname = \"a\"\nname = \"b\"\n", 3, "duplicate key");
}

#[test]
fn unknown_keys_are_refused() {
    complains("[[trunc]]\nname = \"a\"\n", 1, "did you mean `trunk`?");
    complains("[[account]]\nname = \"a\"\ncurrency = \"EUR\"\ncurency = \"EUR\"\n", 4, "did you mean `currency`?");
    let trunk = "[[trunk]]\nname = \"a\"\n[trunk.egress]\ngateways = [\n  { address = \"h\", port = 5 },\n]\n";
    complains(trunk, 5, "`gateways` has no key `port`");
}

#[test]
fn the_clusters_own_tables_are_refused() {
    complains("\n[[node]]\nname = \"a\"\n", 2, "`node` is the cluster's own");
    complains("[[shard]]\n", 1, "`shard` is the cluster's own");
}

#[test]
fn wrong_types_are_refused() {
    complains("[account]\nname = \"a\"\n", 1, "write each one as `[[account]]`");
    complains(
        "[[trunk]]\nname = \"a\"\nchannels = \"30\"\n[trunk.egress]\ngateways = [{ address = \"h\" }]\n",
        3,
        "a string, not a whole number",
    );
    complains(
        "[[trunk]]\nname = \"a\"\nchannels = -1\n[trunk.egress]\ngateways = [{ address = \"h\" }]\n",
        3,
        "out of range",
    );
    complains(
        "[[trunk]]\nname = \"a\"\nsession_expires = 60\n[trunk.egress]\ngateways = [{ address = \"h\" }]\n",
        3,
        "from 90",
    );
    complains("[[account]]\nname = \"a\"\ncurrency = \"EUR\"\nbilling = \"cash\"\n", 4, "write postpaid, prepaid");
    complains("[[account]]\nname = \"a b\"\ncurrency = \"EUR\"\n", 2, "is no name");
    complains("[[account]]\ncurrency = \"EUR\"\n", 1, "has no `name`");
}

#[test]
fn bad_values_are_refused() {
    complains("[[account]]\nname = \"a\"\ncurrency = \"euro\"\n", 3, "three capital letters");
    complains("[[account]]\nname = \"a\"\ncurrency = \"EUR\"\ndaily_spend_limit = 1.5\n", 4, "floating-point");
    complains("[[account]]\nname = \"a\"\ncurrency = \"EUR\"\ndaily_spend_limit = \"1,5\"\n", 4, "no decimal");
    complains("[[number]]\nnumber = \"442071230000\"\nto = \"number:+49301234567\"\n", 2, "does not begin with `+`");
    complains("[[number]]\nnumber = \"+442071230000\"\nto = \"phone:x\"\n", 3, "trunk:NAME");
    complains("[[screen]]\nname = \"s\"\nblock_called = [\n \"44\",\n \"4x\",\n]\n", 5, "`x`, which is no digit");
    complains("[[screen]]\nname = \"s\"\nblock_called = [\"+44\"]\n", 3, "write \"44\"");
    let trunk = |from: &str| format!("[[trunk]]\nname = \"a\"\n[trunk.ingress]\nfrom = [\"{from}\"]\n");
    complains(&trunk("10.0.0.0/33"), 4, "192.0.2.0/24");
    complains(&trunk("10.0.0.1/24"), 4, "the block is 10.0.0.0/24");
    complains(
        "[[deck]]\nname = \"d\"\ncurrency = \"EUR\"\n[[deck.rate]]\nprefix = \"\"\nrate = \"-1\"\n",
        6,
        "below zero",
    );
    complains(
        "[[deck]]\nname = \"d\"\ncurrency = \"EUR\"\n[[deck.rate]]\nprefix = \"\"\nrate = \"1\"\nfrom = \"soon\"\n",
        7,
        "no moment",
    );
}

#[test]
fn bad_hours_are_refused() {
    let route = |hours: &str| {
        format!(
            "[[trunk]]\nname = \"t\"\n[trunk.egress]\ngateways = [{{ address = \"h\" }}]\n\
             [[plan]]\nname = \"p\"\n[[plan.route]]\nprefix = \"\"\ntrunks = [\"t\"]\nhours = \"{hours}\"\n"
        )
    };
    complains(&route("Mon-Fry 08:00-18:00 Europe/Berlin"), 10, "`Fry` is no day");
    complains(&route("Mon-Fri 08:00-25:00 Europe/Berlin"), 10, "`25:00` is no time of day");
    complains(&route("Mon-Fri 08:00-18:00 Europe/Atlantis"), 10, "`Europe/Atlantis` is no time zone");
    complains(&route("Mon-Fri 08:00-18:00"), 10, "a time zone");
    assert_eq!(complaints(&route("Mon-Fri 08:00-18:00 Europe/Berlin; Sat 22:00-02:00")), [] as [&str; 0]);
}

#[test]
fn keys_that_do_not_go_together_are_refused() {
    complains("[[user]]\nname = \"u\"\n", 2, "neither `password` nor `ha1`");
    let ha1 = "0123456789abcdef0123456789ABCDEF";
    complains(&format!("[[user]]\nname = \"u\"\npassword = \"p\"\nha1 = \"{ha1}\"\n"), 4, "both");
    complains("[[user]]\nname = \"u\"\nha1 = \"12\"\n", 3, "32 hexadecimal digits");
    complains("[[trunk]]\nname = \"t\"\n", 2, "neither `ingress` nor `egress`");
    complains("[[trunk]]\nname = \"t\"\n[trunk.egress]\ntech_prefix = \"9\"\n", 3, "called nowhere");
    complains("[[trunk]]\nname = \"t\"\n[trunk.ingress]\nplan = \"p\"\n", 3, "nothing tells who");
    complains("[[trunk]]\nname = \"t\"\n[trunk.ingress]\nusername = \"x\"\n", 4, "no `password`");
    complains("[[trunk]]\nname = \"t\"\n[trunk.ingress]\nfrom = [\"10.0.0.1\"]\nregisters = true\n", 5, "by digest");
    complains("[[account]]\nname = \"a\"\ncurrency = \"EUR\"\nbalance = \"5\"\n", 4, "prepaid");
}

#[test]
fn every_mistake_of_a_file_is_said() {
    let said = complaints("[[account]]\nname = \"a\"\n[[user]]\npassword = \"p\"\nx = 1\n[[number]]\nnumber = 5\n");
    assert_eq!(said.len(), 5, "{said:#?}");
}

#[test]
fn a_hash_is_taken_as_it_is() {
    let ha1 = "0123456789abcdef0123456789ABCDEF";
    let tables = tables_of(&format!("[[user]]\nname = \"u\"\nha1 = \"{ha1}\"\n"));
    assert_eq!(tables.users()["u"].ha1, Ha1 { md5: ha1.to_lowercase(), sha256: None });
}
