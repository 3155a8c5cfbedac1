//! What was written is read, and what is not whole is not.

use super::{Backup, Reader, write};
use routing::{Document, Scope, Tables, View};

const TABLES: &str = r#"
[[account]]
name = "acme"
currency = "EUR"
billing = "postpaid"
[[trunk]]
name = "acme-pbx"
account = "acme"
[trunk.ingress]
username = "acme-pbx"
password = "s3cret"
plan = "retail"
[trunk.egress]
gateways = [ { address = "192.0.2.1:5060" } ]
register = { registrar = "sip.alpha.example", username = "u", password = "p\"\\" }
[[plan]]
name = "retail"
[[plan.route]]
prefix = "44"
trunks = ["acme-pbx"]
hours = "Mon-Fri 08:00-18:00 Europe/Berlin"
[[deck]]
name = "buy"
currency = "EUR"
[[deck.rate]]
prefix = "44"
rate = "0.0100"
[[ported]]
number = "+447700900123"
lrn = "+447700900000"
"#;

fn tables() -> Tables {
    let document = Document::parse(&[("t.toml".into(), TABLES.to_owned())]).expect("a document");
    let mut tables = Tables::default();
    let change = tables.plan_change(&document, Scope::Merge).expect("valid");
    tables.apply(&change).expect("valid");
    tables
}

fn written() -> Vec<u8> {
    let mut file = Vec::new();
    write(&View::build(&tables(), 7), "c-1", "2026-01-01T00:00:00Z", |piece| {
        file.extend(piece);
        true
    });
    file
}

/// In pieces of a length that cuts lines anywhere.
fn read(file: &[u8], piece: usize) -> Result<Backup, String> {
    let mut reader = Reader::default();
    file.chunks(piece).for_each(|piece| reader.feed(piece));
    reader.finish()
}

#[test]
fn what_was_written_is_read_with_its_secrets() {
    let file = written();
    for piece in [1, 7, 64, file.len()] {
        let backup = read(&file, piece).expect("whole");
        assert_eq!((backup.head.cluster.as_str(), backup.head.revision, backup.rows), ("c-1", 7, 7));
        assert!(tables().diff(&backup.tables).is_empty(), "the same tables");
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let file = written();
    for length in 0..file.len() {
        let error = read(&file[..length], 64).expect_err("cut off");
        assert!(error.starts_with("line "), "{length}: {error}");
    }
}

#[test]
fn a_byte_that_is_another_one_is_noticed() {
    let file = written();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] = if damaged[at] == b'x' { b'y' } else { b'x' };
        assert!(read(&damaged, 64).is_err(), "byte {at}: {}", String::from_utf8_lossy(&damaged));
    }
}

#[test]
fn a_line_more_or_less_is_noticed() {
    let file = String::from_utf8(written()).expect("text");
    let lines: Vec<&str> = file.lines().collect();
    for left_out in 0..lines.len() {
        let less: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        assert!(read((less.join("\n") + "\n").as_bytes(), 64).is_err(), "without line {left_out}");
    }
    let twice = [&lines[..2], &lines[1..]].concat().join("\n") + "\n";
    assert!(read(twice.as_bytes(), 64).is_err());
    assert!(read((file.clone() + &file).as_bytes(), 64).is_err(), "two backups");
    assert!(read((file + "more").as_bytes(), 64).is_err());
}

#[test]
fn other_files_are_told_apart() {
    let error = read(b"[[account]]\nname = \"acme\"\n", 64).expect_err("TOML");
    assert_eq!(error, "line 1: is no backup");
    let later = br#"{"tandem_backup":2,"cluster":"c","revision":1,"made":""}"#;
    let error = read(&[later.as_slice(), b"\n"].concat(), 64).expect_err("later");
    assert_eq!(error, "line 1: is of format 2, and this version reads up to 1");
    let mut endless = Reader::default();
    for _ in 0..100 {
        endless.feed(&[b'x'; 64 << 10]);
    }
    assert!(endless.is_hopeless(), "a line without an end fills no memory");
}
