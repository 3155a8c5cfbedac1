//! The rules of `deploy/prometheus` by their own tests, and the unit and the package by the tools of those who install them. What a
//! machine lacks is said and left out; `make deploy-check` wants all of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::process::report;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder of `deploy/`, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("deploy").join(folder)).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it reads").path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "yml"));
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

/// Whether a program is to be found.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a program in the root of the sources; it must say that all is well.
#[track_caller]
fn passes(program: impl AsRef<Path>, words: &[&str], files: &[PathBuf]) {
    let output = Command::new(program.as_ref()).current_dir(root()).args(words).args(files).output().expect("it runs");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {words:?}: {said}\n{complaints}", program.as_ref().display());
}

#[test]
fn the_rules_are_valid_and_pass_their_tests() {
    if !is_here("promtool") {
        return report("promtool is not here: the rules were not tried (scripts/install test)");
    }
    passes("promtool", &["check", "rules"], &files("prometheus/rules"));
    passes("promtool", &["test", "rules"], &files("prometheus/tests"));
}

#[test]
fn the_package_installs_and_goes_without_a_trace() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let Some(executable) = std::env::var_os("TANDEM_BIN").filter(|_| is_root && is_here("dpkg-deb")) else {
        return report("no root, no dpkg-deb or no TANDEM_BIN: the package was not tried (make deb)");
    };
    let executable = executable.to_string_lossy().into_owned();
    passes(root().join("scripts/check-deb"), &[&executable], &[]);
}
