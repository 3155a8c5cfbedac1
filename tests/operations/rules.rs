//! What `deploy/` holds, by the tools of those who run it, and the package installed and removed. What a machine lacks is said and
//! left out; `make deploy-check` wants all of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::process::report;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a program is to be found.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a program in the root of the sources; it must say that all is well. What it says.
#[track_caller]
fn passes(program: impl AsRef<Path>, words: &[&str]) -> String {
    let output = Command::new(program.as_ref()).current_dir(root()).args(words).output().expect("it runs");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {words:?}: {said}\n{complaints}", program.as_ref().display());
    said.into_owned()
}

/// Rules and their tests, alerts, dashboards, unit, chart, scripts.
#[test]
fn what_is_deployed_is_valid_by_the_tools_of_those_who_run_it() {
    let said = passes(root().join("scripts/check-deploy"), &["--available"]);
    for line in said.lines().filter(|line| line.contains("not here")) {
        report(&format!("{line} (scripts/install test deploy)"));
    }
    let is_tried = |what: &str| said.lines().any(|line| line.starts_with("check-deploy: ok") && line.contains(what));
    for (tool, what) in [("promtool", "tests of the rules"), ("systemd-analyze", "tandem.service")] {
        assert!(is_tried(what) || !is_here(tool), "{tool} is here, and was not asked for {what}: {said}");
    }
}

#[test]
fn the_package_installs_and_goes_without_a_trace() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let Some(executable) = std::env::var_os("TANDEM_BIN").filter(|_| is_root && is_here("dpkg-deb")) else {
        return report("no root, no dpkg-deb or no TANDEM_BIN: the package was not tried (make deb)");
    };
    let executable = executable.to_string_lossy().into_owned();
    passes(root().join("scripts/check-deb"), &[&executable]);
}
