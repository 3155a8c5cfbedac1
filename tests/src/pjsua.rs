//! Runs the phones of pjsua2: `peers/pjsua/phones.py` in the Python environment that `scripts/install` makes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::audio;
use crate::process::{Process, wait_until};
use crate::{Lab, Node};

/// Alice's host number.
pub const ALICE: u8 = 30;
/// Bob's host number.
pub const BOB: u8 = 31;
/// Alice's number in the tables.
pub const ALICE_NUMBER: &str = "+442071230001";
/// Bob's number in the tables.
pub const BOB_NUMBER: &str = "+442071230002";
/// The seed of what the calling phone says.
pub const CALLER_SEED: u32 = 1;
/// The seed of what the called phone says.
pub const CALLEE_SEED: u32 = 77;

/// The longest scenario takes a quarter of this.
const LIMIT: Duration = Duration::from_secs(90);

/// Plays `scenario`, through `node` or directly from phone to phone, and returns what the phones saw.
#[track_caller]
pub fn play(lab: &Lab, node: Option<&Node<'_>>, scenario: &str, more: &[&str]) -> Value {
    Phones::start(lab, node.map(Node::sip).as_deref(), scenario, more).end()
}

/// The phones while they play.
pub struct Phones {
    process: Process,
}

impl Phones {
    /// Starts `scenario`, through the node at `sip` or directly from phone to phone.
    #[track_caller]
    pub fn start(lab: &Lab, sip: Option<&str>, scenario: &str, more: &[&str]) -> Self {
        audio::write_wav(&lab.path("spoken-by-caller.wav"), &audio::speech(CALLER_SEED));
        audio::write_wav(&lab.path("spoken-by-callee.wav"), &audio::speech(CALLEE_SEED));
        let address = |host: IpAddr| host.to_string();
        let mut command = Command::new(python());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/pjsua/phones.py")).arg(scenario);
        command.arg("--dir").arg(lab.dir());
        command.args(["--alice", &address(lab.host(ALICE)), "--bob", &address(lab.host(BOB))]);
        if let Some(sip) = sip {
            command.args(["--node", sip]);
            command.args(["--alice-number", ALICE_NUMBER, "--bob-number", BOB_NUMBER]);
        }
        command.args(more).env("PYTHONUNBUFFERED", "1");
        Self { process: Process::start(&mut command, lab.dir(), &format!("phones-{scenario}")) }
    }

    /// Waits until they say that they are so far; panics if they end before.
    #[track_caller]
    pub fn wait_for(&mut self, word: &str) {
        wait_until(&format!("the phones say {word}"), LIMIT, || {
            let runs = self.process.runs();
            let output = self.process.output();
            let is_said = output.lines().any(|line| line == word);
            assert!(runs || is_said, "the phones ended before they said {word}:\n{output}");
            is_said
        });
    }

    /// Waits for their end, and returns what they saw.
    #[track_caller]
    pub fn end(mut self) -> Value {
        let status = self.process.wait(LIMIT);
        let output = self.process.output();
        assert!(status.success(), "the phones ended with {status}:\n{output}");
        let result = output.lines().rev().find(|line| line.starts_with('{')).expect("the phones print what they saw");
        serde_json::from_str(result).expect("what they print is JSON")
    }
}

/// Asserts that the recording `file` is what was spoken by `seed`, sample by sample.
///
/// Not all of it: when the machine stutters, the phone's own jitter buffer drops or repeats a frame. Two samples in a
/// hundred may so be lost; the others have to be equal, not similar.
#[track_caller]
pub fn assert_heard(lab: &Lab, file: &str, seed: u32, seconds: usize) {
    let spoken: Vec<i16> = audio::speech(seed).into_iter().map(audio::through_pcmu).collect();
    let heard = audio::read_wav(&lab.path(&format!("{file}.wav")));
    let found = audio::compare(&spoken, &heard);
    assert!(found.samples >= seconds * audio::RATE * 9 / 10, "{file}: too little to compare: {found:?}");
    assert!(found.exact >= 0.98 && found.slips <= 3, "{file}: not what was spoken: {found:?}");
}

fn python() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = std::env::var_os("TANDEM_VENV").map_or_else(|| home.join(".cache/tandem-venv"), PathBuf::from);
    let python = folder.join("bin/python");
    assert!(python.exists(), "{} is missing: run scripts/install first", python.display());
    python
}
