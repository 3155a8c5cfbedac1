//! Rules on what the source may say. Comments and `#[cfg(test)]` modules are not read.

use std::path::{Path, PathBuf};

use crate::dependencies::PURE;

/// What a pure crate may not say: each would bring in time, chance or the outside world unseen.
const IMPURE_WORDS: [(&str, &str); 16] = [
    ("Instant::now", "time comes in as `now`"),
    ("SystemTime::now", "time comes in as `now`"),
    ("std::fs", "no files"),
    ("std::env::", "configuration comes in as values"),
    ("std::process", "no processes"),
    ("std::thread", "no threads"),
    ("thread::sleep", "no threads"),
    ("UdpSocket", "no sockets"),
    ("TcpStream", "no sockets"),
    ("TcpListener", "no sockets"),
    ("tokio::", "no runtime"),
    ("thread_rng", "randomness comes in as a seed"),
    ("rand::rng()", "randomness comes in as a seed"),
    ("OsRng", "randomness comes in as a seed"),
    ("getrandom", "randomness comes in as a seed"),
    ("RandomState", "iteration order must not differ from run to run"),
];

/// What no crate may say.
const FORBIDDEN_WORDS: [(&str, &str); 9] = [
    ("unbounded_channel", "every queue has a limit"),
    ("unbounded()", "every queue has a limit"),
    ("mpsc::channel()", "the standard channel has no limit; use sync_channel"),
    ("ractor::registry", "names are global to the process: two nodes in one process would collide"),
    ("where_is(", "names are global to the process: two nodes in one process would collide"),
    ("ractor::pg", "groups are global to the process: two nodes in one process would collide"),
    ("Actor::spawn(Some(", "names are global to the process: two nodes in one process would collide"),
    ("spawn_linked(Some(", "names are global to the process: two nodes in one process would collide"),
    ("std::process::exit", "only main decides when the process ends"),
];

/// File names that say nothing about what is in them.
const EMPTY_NAMES: [&str; 6] = ["mod", "utils", "util", "helper", "helpers", "manager"];

pub(crate) fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A file's code without white space, comments or its test module, and for each byte the line that it came from: a rule
/// is then found however the formatter broke the line.
struct Code {
    bytes: Vec<u8>,
    lines: Vec<usize>,
}

fn code(source: &str) -> Code {
    let mut code = Code { bytes: Vec::new(), lines: Vec::new() };
    for (number, line) in source.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let line = line.split("//").next().unwrap_or_default();
        for byte in line.bytes().filter(|b| !b.is_ascii_whitespace()) {
            code.bytes.push(byte);
            code.lines.push(number + 1);
        }
    }
    code
}

fn find(code: &Code, word: &str) -> Option<usize> {
    let at = code.bytes.windows(word.len()).position(|window| window == word.as_bytes())?;
    Some(code.lines[at])
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// Every breach of `words` in the `src` folder of `name`, one a line.
fn breaches(name: &str, words: &[(&str, &str)]) -> Vec<String> {
    let folder = crates().join(name).join("src");
    let mut found = Vec::new();
    for path in rust_files(&folder).into_iter().filter(|path| !is_test_file(path.strip_prefix(&folder).unwrap_or(path)))
    {
        let code = code(&std::fs::read_to_string(&path).expect("a source file is UTF-8"));
        for (word, reason) in words {
            if let Some(line) = find(&code, word) {
                found.push(format!("{}:{line}: `{word}`: {reason}", path.display()));
            }
        }
    }
    found
}

fn all_crates() -> Vec<String> {
    let entries = std::fs::read_dir(crates()).expect("crates/ exists");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn pure_crates_say_nothing_impure() {
    let found: Vec<String> = PURE.iter().flat_map(|name| breaches(name, &IMPURE_WORDS)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_crate_has_a_queue_without_limit_or_a_global_name() {
    let found: Vec<String> = all_crates()
        .iter()
        .filter(|name| *name != "tandem")
        .flat_map(|name| breaches(name, &FORBIDDEN_WORDS))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn only_sip_says_rsip() {
    let found: Vec<String> = all_crates()
        .iter()
        .filter(|name| *name != "sip")
        .flat_map(|name| breaches(name, &[("rsip::", "only `sip` may, behind its own types")]))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_has_a_name_that_says_something() {
    for path in rust_files(&crates()) {
        let stem = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&stem.as_str()), "{}: name it after what is in it", path.display());
    }
}

#[test]
fn the_reader_sees_through_layout_and_stops_at_tests() {
    let seen = code(
        "fn f() {\n    // Instant::now is banned\n    Actor::spawn(\n        Some(x))\n}\n#[cfg(test)]\nmod tests { Instant::now }\n",
    );
    assert_eq!(find(&seen, "Actor::spawn(Some("), Some(3));
    assert_eq!(find(&seen, "Instant::now"), None);
}
