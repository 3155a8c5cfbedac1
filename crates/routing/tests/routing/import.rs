//! Files in CSV: what is understood, what is refused and how it is said, and what a list makes of the tables.

use crate::tables_of;
use proptest::prelude::*;
use routing::import::{List, NumberList, Numbers, Ported, PortedList, RateList, RateOptions, Rates, date};
use routing::{Kind, Tables};
use sip::clock::Wall;
use std::path::Path;

const DECKS: &str = "[[deck]]\nname = \"buy\"\ncurrency = \"EUR\"\n";

fn options() -> RateOptions {
    RateOptions { deck: "buy".into(), from: None, replace: false }
}

fn rates_with(text: &str, options: RateOptions) -> Result<RateList, Vec<String>> {
    let mut reader = Rates::new(Path::new("r.csv"), options);
    // Pieces that end anywhere.
    text.as_bytes().chunks(7).for_each(|piece| reader.feed(piece));
    reader.finish().map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn rates(text: &str) -> RateList {
    rates_with(text, options()).expect("a good file")
}

/// What is wrong with a file of rates.
fn complaints(text: &str) -> Vec<String> {
    rates_with(text, options()).expect_err("a bad file")
}

fn complaint(text: &str) -> String {
    let all = complaints(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.concat()
}

fn shown(list: &RateList) -> Vec<String> {
    let time = |at: Option<Wall>| at.map_or("-".to_owned(), |at| (at.0 / 86_400_000).to_string());
    list.prices()
        .map(|p| {
            format!(
                "{} {} {} {}/{} {} {}",
                p.prefix,
                p.rate,
                p.connect_fee,
                p.initial,
                p.next,
                time(p.from),
                time(p.to)
            )
        })
        .collect()
}

#[test]
fn our_own_header_in_any_order() {
    let text = "to,rate,prefix,initial,next,from,connect_fee\n\
                2027-01-01T00:00:00Z,0.0100,44,60,1,2026-01-01,0.05\n\
                ,1.5,1,,,,\n";
    assert_eq!(shown(&rates(text)), ["1 1.5 0 1/1 - -", "44 0.0100 0.05 60/1 20454 20819"]);
}

#[test]
fn foreign_headers_are_understood() {
    let expected = ["44 0.01 0 60/60 20454 -", "447 0.02 0 30/6 20454 20819"];
    for text in [
        "\u{feff}Destination;Dial Code;Price;Increment;Effective Date;End Date\r\n\
         UK;44;0.01;60/60;2026-01-01;\r\n\"UK; mobile\";447;0.02;30 / 6;2026-01-01;2027-01-01\r\n",
        "code\tRATE\tBilling Increment\teffective_date\tend-date\n447\t0.02\t30/6\t2026-01-01\t2027-01-01\n\n\
         44\t0.01\t60/60\t2026-01-01\t",
        "Country,DialCode,Price/Min,Initial Increment,Next Increment,Valid From,Valid To\n\
         UK,+44,0.01,60,60,2026-01-01T01:00:00+01:00,\n\"UK \"\"m\"\"\",447,0.02,30,6,2026-01-01,2027-01-01\n,,,,,,\n",
    ] {
        assert_eq!(shown(&rates(text)), expected, "{text}");
    }
}

#[test]
fn rows_without_a_begin_take_the_one_that_was_asked_for() {
    let from = date("2026-03-01");
    let text = "prefix,rate,from\n44,1,\n45,1,2026-01-01\n";
    let list = rates_with(text, RateOptions { from, ..options() }).expect("a good file");
    assert_eq!(shown(&list), ["44 1 0 1/1 20513 -", "45 1 0 1/1 20454 -"]);
    assert_eq!(date("03/04/2026"), None);
    assert_eq!(date("2026-02-30"), None);
}

#[test]
fn what_has_two_meanings_is_a_mistake() {
    for (text, expected) in [
        (
            "prefix,code,rate\n44,44,1\n",
            "r.csv:1, column 2 `code`: columns 1 and 2 both mean `prefix`; remove one of them",
        ),
        (
            "prefix,rate,increment,initial\n44,1,60/60,60\n",
            "r.csv:1, column 3 `increment`: the file has `initial` too, which says the same; remove one of them",
        ),
        (
            "prefix,rate,currency\n44,1,USD\n",
            "r.csv:1, column 3 `currency`: nothing is known of this column; remove or rename it; known are prefix, rate, \
             connect_fee, initial, next, increment, from, to",
        ),
        (
            "prefix,price\n44,\"0,0100\"\n",
            "r.csv:2, column 2 `price`: \"0,0100\" has a sign that may part thousands or be a decimal point; write digits \
             and one decimal point, for example 0.0100",
        ),
        (
            "prefix;price\n44;0,0100\n",
            "r.csv:2, column 2 `price`: \"0,0100\" has a sign that may part thousands or be a decimal point; write digits \
             and one decimal point, for example 0.0100",
        ),
        (
            "prefix,price\n44,0,0100\n",
            "r.csv:2: the line has 3 fields, the header 2; part the fields as the header does; a price with a decimal \
             comma, or a text with a separator, is two",
        ),
        (
            "prefix,rate,from\n44,1,03/04/2026\n",
            "r.csv:2, column 3 `from`: \"03/04/2026\" is no date that can be read in one way only; write 2026-01-31, or \
             2026-01-31T00:00:00Z",
        ),
        (
            "prefix,rate,from\n44,1,2026-01-01T00:00:00\n",
            "r.csv:2, column 3 `from`: \"2026-01-01T00:00:00\" is no moment with its offset from UTC since 1970; write \
             2026-01-31, or 2026-01-31T00:00:00Z",
        ),
        (
            "prefix,rate\n\"44 7; 44 8\",1\n",
            "r.csv:2, column 1 `prefix`: \"44 7; 44 8\" is more than one code; write one line for each code, digits only",
        ),
        (
            "prefix,rate\n0044,1\n",
            "r.csv:2, column 1 `prefix`: \"0044\" begins with an international dialling prefix; begin with the country code",
        ),
        (
            "prefix,rate,increment\n44,1,60\n",
            "r.csv:2, column 3 `increment`: \"60\" has not both steps; write the first and the further ones, for example \
             60/1",
        ),
        (
            "prefix,rate,from\n44,1,2026-01-01\n45,1,\n44,2,2026-01-01T00:00:00Z\n",
            "r.csv:4, column 1 `prefix`: 44 from 2026-01-01T00:00:00Z stands twice, first on line 2; remove one of the lines",
        ),
        (
            "prefix,rate,from,to\n44,1,2026-01-01,2026-01-01\n",
            "r.csv:2, column 4 `to`: it is not after the begin of validity; write a later moment",
        ),
        (
            "prefix;rate,from\n44;1,2\n",
            "r.csv:1: it is not clear what parts the columns; part the columns of the header by commas, semicolons or \
             tabs, with one of them throughout",
        ),
        ("prefix,rate,\n44,1,2\n", "r.csv:2, column 3 ``: the header does not name this column; name it"),
    ] {
        assert_eq!(complaint(text), expected);
    }
}

#[test]
fn cells_that_mean_nothing_are_mistakes_each_with_its_place() {
    let text = "prefix,rate,connect_fee,initial,next\n\
                44,$1,-1,-5,0\n\
                \"4\n4\",1.2.3,1_000,90000,x\n\
                ,1e-3,,,\n";
    let places: Vec<String> =
        complaints(text).iter().map(|said| said.split('`').next().unwrap_or_default().trim().to_owned()).collect();
    let expected = [(2, 2), (2, 3), (2, 4), (2, 5), (3, 1), (3, 2), (3, 3), (3, 4), (3, 5), (5, 1), (5, 2)];
    assert_eq!(places, expected.map(|(line, column)| format!("r.csv:{line}, column {column}")));
}

#[test]
fn a_file_that_cannot_be_read_on_says_why() {
    for (text, expected) in [
        ("", "r.csv:1: the first line is empty; begin the file with a header"),
        ("44,0.01\n", "r.csv:1, column 1 `44`: nothing is known of this column"),
        ("prefix,rate\n44,\"1\n45,2\n", "r.csv:4: the file ends within quotes; close the quote"),
        (
            "prefix,rate,\"destination\"x\n44,1,\n",
            "r.csv:1: text follows a closing quote; double the quotes within the quotes",
        ),
        ("prefix,rate\n44,\"1\"2\n", "r.csv:2: text follows a closing quote; double the quotes within the quotes"),
    ] {
        let said = complaints(text);
        assert!(said[0].starts_with(expected), "{text:?}: {said:#?}");
    }
    let mut reader = Rates::new(Path::new("r.csv"), options());
    reader.feed(b"\xff\xfep\0r\0e\0f\0i\0x\0\n\0");
    assert!(reader.is_hopeless());
    let errors = reader.finish().expect_err("UTF-16");
    assert_eq!(errors[0].to_string(), "r.csv:1: the file is UTF-16; save it as UTF-8");
}

#[test]
fn a_hundred_mistakes_are_enough() {
    let mut reader = Rates::new(Path::new("r.csv"), options());
    reader.feed(b"prefix,rate\n");
    let mut fed = 0;
    while !reader.is_hopeless() {
        reader.feed(b"x,1\n");
        fed += 1;
    }
    assert_eq!(fed, 100);
    reader.feed(b"x,1\n");
    assert_eq!(reader.finish().expect_err("bad").len(), 100);
}

#[test]
fn a_list_becomes_a_change_and_says_what_it_changes() {
    let deck = "[[deck.rate]]\nprefix = \"44\"\nrate = \"0.01\"\n[[deck.rate]]\nprefix = \"45\"\nrate = \"0.02\"\n\
                [[deck.rate]]\nprefix = \"46\"\nrate = \"0.03\"\n";
    let tables = tables_of(&format!("{DECKS}{deck}"));
    let text = "prefix,rate\n47,0.04\n44,0.01\n45,0.09\n";
    for replace in [false, true] {
        let list = rates_with(text, RateOptions { replace, ..options() }).expect("a good file");
        let summary = list.summary(&tables);
        let counts = (summary.rows, summary.added, summary.changed, summary.removed, summary.same);
        assert_eq!(counts, (3, 1, 1, usize::from(replace), 1));
        let change = list.change(&tables).expect("it applies");
        assert_eq!((change.put.len(), change.delete.len()), (2, usize::from(replace)));
        let mut after = tables.clone();
        after.apply(&change).expect("it applies");
        let there: Vec<String> =
            after.decks()["buy"].rates().map(|rate| format!("{} {}", rate.prefix, rate.rate)).collect();
        let kept: &[&str] = if replace { &[] } else { &["46 0.03"] };
        assert_eq!(there, [&["44 0.01", "45 0.09"], kept, &["47 0.04"]].concat());
        assert_eq!(list.summary(&after).same, 3, "what was imported is there as it was");
    }
    let line = rates(text).summary(&tables).to_string();
    assert_eq!(line, "3 rows, 44 to 47: 1 added, 1 changed, 0 removed, 1 as they were");
    let dated = rates("prefix,rate,from\n44,1,2026-01-01\n45,1,2026-02-01\n").summary(&tables).to_string();
    assert!(
        dated.starts_with("2 rows, 44 to 45, from 2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z: 2 added"),
        "{dated}"
    );
}

#[test]
fn rates_of_a_deck_that_is_not_there_are_refused() {
    let errors = rates("prefix,rate\n44,1\n").change(&Tables::default()).expect_err("no deck");
    assert_eq!(
        errors[0].to_string(),
        "deck buy: it does not exist; apply a [[deck]] with its `name` and `currency` first, or correct the name"
    );
}

#[test]
fn a_list_travels_as_blocks_and_as_rows() {
    let mut text = "prefix,rate,from\n".to_owned();
    for at in 0..10_000 {
        text += &format!("{},0.{at:04},2026-01-01\n", 100_000 - at);
    }
    let list = rates(&text);
    let mut there = RateList::new("buy".into(), true);
    assert_eq!(list.blocks().count(), 3);
    list.blocks().for_each(|block| there.add_block(&block).expect("a block"));
    assert!(there.prices().eq(list.prices()));
    assert!(there.add_block(b"E\x02\0").is_err());
    let batches: Vec<usize> = list.batches(4000).map(|batch| batch.len()).collect();
    assert_eq!(batches, [4000, 4000, 2000]);
    assert!(list.batches(4000).flatten().all(|row| row.key().kind() == Kind::Rate));
}

#[test]
fn ported_numbers_are_imported() {
    let read = |text: &str, replace: bool| {
        let mut reader = Ported::new(Path::new("p.csv"), replace);
        reader.feed(text.as_bytes());
        reader.finish()
    };
    let text = "lrn;number\n+4499;+442071230001\n+4498;+442071230000\n";
    let list = read(text, true).expect("a good file");
    let tables = tables_of("[[ported]]\nnumber = \"+4930123456\"\nlrn = \"+4911\"\n");
    let summary = list.summary(&tables);
    assert_eq!((summary.rows, summary.added, summary.removed, summary.same), (2, 2, 1, 0));
    let mut after = tables.clone();
    after.apply(&list.change(&tables).expect("it applies")).expect("it applies");
    let lrn = |number: &str| after.ported().get(number.parse().expect("it reads")).map(|lrn| lrn.to_string());
    assert_eq!(lrn("+442071230000").as_deref(), Some("+4498"));
    assert_eq!(lrn("+4930123456"), None);
    let mut there = PortedList::new(false);
    list.blocks().for_each(|block| there.add_block(&block).expect("a block"));
    assert!(there.ported() == list.ported());
    let said: Vec<String> = read("number,lrn\n442071230000,+4498\n+44207,+4498\n+44207,+4497\n+44208,\n", false)
        .expect_err("bad")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "p.csv:2, column 1 `number`: \"442071230000\" is no number: it does not begin with `+` and a country code; \
             write it in full, for example +442071230000",
            "p.csv:4, column 1 `number`: +44207 stands twice, first on line 3; remove one of the lines",
            "p.csv:5, column 2 `lrn`: it is empty; write it, or remove the line",
        ]
    );
}

#[test]
fn served_numbers_are_imported() {
    let read = |text: &str| {
        let mut reader = Numbers::new(Path::new("n.csv"), false);
        reader.feed(text.as_bytes());
        reader.finish()
    };
    let said = |text: &str| read(text).expect_err("bad").iter().map(ToString::to_string).collect::<Vec<_>>();
    let tables = tables_of(
        "[[account]]\nname = \"acme\"\ncurrency = \"EUR\"\n[[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"p\"\n",
    );
    let text = "Number,Account,To,On Failure,Emergency Address,Ring Seconds\n\
                +442071230000,acme,user:alice,number:+4930123456,\"1 Road, London\",20\n\
                +442071230001,,user:alice,,,\n";
    let list = read(text).expect("a good file");
    let mut after = tables.clone();
    after.apply(&list.change(&tables).expect("it applies")).expect("it applies");
    let row = &after.numbers()[&"+442071230000".parse().expect("it reads")];
    assert_eq!(row.emergency_address.as_deref(), Some("1 Road, London"));
    assert_eq!((row.ring_seconds, row.account.as_deref()), (Some(20), Some("acme")));
    assert_eq!(list.summary(&after).same, 2);
    let mut there = NumberList::new(true);
    list.numbers().values().take(1).for_each(|number| there.add(number.clone()));
    assert_eq!((there.summary(&after).same, there.summary(&after).removed), (1, 1));
    assert_eq!(
        said("number,to,ring_seconds,account\n+44207,alice,0,a b\n"),
        [
            "n.csv:2, column 4 `account`: \"a b\" is no name; use 1 to 64 letters, digits, `.`, `_`, `-` or `+`",
            "n.csv:2, column 2 `to`: \"alice\" cannot be read; a destination is `trunk:NAME`, `user:NAME`, `number:+…` or \
             `plan:NAME`",
            "n.csv:2, column 3 `ring_seconds`: \"0\" is no number of seconds here; write a number from 1 to 3600",
        ]
    );
    let misfit = read("number,to\n+44207,user:alice\n+44208,user:bob\n").expect("it reads");
    assert_eq!(
        misfit.change(&tables).expect_err("no bob")[0].to_string(),
        "n.csv:3: +44208: `to` names user `bob`, which does not exist; write [[user]] with `name = \"bob\"`, or correct `to`"
    );
}

proptest! {
    #[test]
    fn arbitrary_files_never_panic(
        header in prop::sample::select(vec!["prefix,rate,from,to\n", "code;price;increment;connect fee\n", "", "\u{feff}a\tb\n"]),
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut file = header.as_bytes().to_vec();
        file.extend(pieces.concat().bytes());
        file.extend(&bytes);
        let read = |size: usize| {
            let mut reader = Rates::new(Path::new("r.csv"), options());
            file.chunks(size).for_each(|piece| reader.feed(piece));
            reader.finish().map(|list| shown(&list)).map_err(|errors| errors.len())
        };
        prop_assert_eq!(read(1), read(1000));
    }
}

const PIECES: [&str; 17] = [
    "44",
    "447",
    "0.01",
    "1,5",
    ",",
    ",",
    ";",
    ";",
    "\n",
    "\n",
    "\"",
    "2026-01-01",
    "2026-02-01T00:00:00Z",
    "60/1",
    " ",
    "\t",
    "é",
];
