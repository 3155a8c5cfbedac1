//! baresip, a user agent with audio that sends from whatever address the kernel chooses, as phones behind a NAT do.
//!
//! It says a WAV file, writes what it hears into another one, packet by packet, and is told what to do over TCP (its module
//! `ctrl_tcp`: JSON in netstrings).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Process, wait_until};
use crate::tables::PORT;
use crate::{Lab, audio};

/// Where it takes commands.
const CONTROL: u16 = 4444;
/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How much it has to say, longer than any test.
const SPEECH_S: usize = 120;
/// What Debian's package calls the folder of its modules.
const MODULES: [&str; 3] = ["/usr/lib/baresip/modules", "/usr/lib64/baresip/modules", "/usr/local/lib/baresip/modules"];

/// One that runs. It answers every call.
pub struct Baresip {
    process: Process,
    control: TcpStream,
    /// Bytes that came in and make no whole netstring yet.
    pending: Vec<u8>,
    events: Vec<Value>,
    dir: PathBuf,
}

impl Baresip {
    /// Starts one at host number `host` that has this number and says what `seed` makes; returns when it takes commands.
    #[track_caller]
    pub fn start(lab: &Lab, host: u8, number: &str, seed: u32) -> Self {
        let name = format!("baresip-{host}");
        let dir = lab.path(&name);
        std::fs::create_dir_all(&dir).expect("the test's folder is writable");
        audio::write_wav(&dir.join("spoken.wav"), &audio::long_speech(seed, SPEECH_S));
        let address = lab.host(host).to_string();
        let account = format!("<sip:{number}@{address}>;answermode=auto;regint=0;audio_codecs=PCMU/8000/1\n");
        for (file, text) in [("config", config(&address, &dir)), ("accounts", account), ("contacts", String::new())] {
            std::fs::write(dir.join(file), text).expect("the test's folder is writable");
        }
        let mut command = Command::new("baresip");
        command.arg("-4").arg("-f").arg(&dir).current_dir(&dir);
        let mut process = Process::start(&mut command, lab.dir(), &name);
        let mut control = None;
        wait_until("baresip takes commands", START_LIMIT, || {
            assert!(process.runs(), "baresip ended while starting:\n{}", process.output());
            control = TcpStream::connect(SocketAddr::new(lab.host(host), CONTROL)).ok();
            control.is_some()
        });
        let control = control.expect("it does");
        control.set_nonblocking(true).expect("a socket can be asked without waiting");
        Self { process, control, pending: Vec::new(), events: Vec::new(), dir }
    }

    /// Calls a number at a node.
    #[track_caller]
    pub fn dial(&mut self, number: &str, node: &str) {
        self.command("dial", &format!("sip:{number}@{node}"));
    }

    /// Hangs up.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// How many events of a type it told, such as `CALL_ESTABLISHED`, whose parameter holds `param`.
    pub fn told(&mut self, kind: &str, param: &str) -> usize {
        self.read();
        let is_meant = |event: &&Value| event["type"] == kind && event["param"].as_str().unwrap_or("").contains(param);
        self.events.iter().filter(is_meant).count()
    }

    /// Descriptions that it was offered: the first of a call that came to it, and one for each re-INVITE.
    pub fn offers(&mut self) -> usize {
        self.told("CALL_REMOTE_SDP", "offer")
    }

    /// Whether a call is up.
    pub fn is_talking(&mut self) -> bool {
        self.told("CALL_ESTABLISHED", "") > self.told("CALL_CLOSED", "")
    }

    /// How many bytes of audio it has heard: they grow with each packet that it plays.
    pub fn heard(&self) -> u64 {
        let sizes = self.recordings().into_iter().filter_map(|path| Some(path.metadata().ok()?.len()));
        sizes.sum()
    }

    /// The samples that it heard last, at most so many seconds of them.
    pub fn last_heard(&self, seconds: usize) -> Vec<i16> {
        let samples = self.recordings().last().map(|path| audio::read_wav(path)).unwrap_or_default();
        samples[samples.len().saturating_sub(seconds * audio::RATE)..].to_vec()
    }

    /// What it told, for the one who reads a failed test.
    pub fn account(&self) -> String {
        let events = self.events.iter().map(|event| format!("{} {}\n", event["type"], event["param"]));
        format!("{}{}", events.collect::<String>(), self.process.output())
    }

    /// What it heard, oldest first: a file for each start of its audio.
    fn recordings(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dir).expect("its folder is there");
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.to_string_lossy().ends_with("-dec.wav"));
        paths.sort();
        paths
    }

    #[track_caller]
    fn command(&mut self, command: &str, params: &str) {
        let text = json!({"command": command, "params": params, "token": command}).to_string();
        let sent = self.control.write_all(format!("{}:{text},", text.len()).as_bytes());
        sent.unwrap_or_else(|error| panic!("{command}: {error}\n{}", self.process.output()));
    }

    /// Reads what it has told since.
    fn read(&mut self) {
        let mut buffer = [0; 8_192];
        loop {
            match self.control.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("baresip: {error}\n{}", self.process.output()),
            }
        }
        while let Some((text, used)) = netstring(&self.pending) {
            self.events.extend(serde_json::from_slice::<Value>(text).ok().filter(|told| told["event"] == true));
            self.pending.drain(..used);
        }
    }
}

/// The first whole netstring, and how many bytes it takes.
fn netstring(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let text = bytes.get(colon + 1..colon + 1 + length)?;
    bytes.get(colon + 1 + length)?;
    Some((text, colon + length + 2))
}

/// Without a player it decodes each packet as it comes, and `sndfile` writes it down at once.
fn config(address: &str, dir: &Path) -> String {
    let modules = MODULES.into_iter().find(|folder| Path::new(folder).is_dir());
    let modules = modules.unwrap_or_else(|| panic!("baresip is missing: run scripts/install first"));
    let dir = dir.display();
    format!(
        "sip_listen {address}:{PORT}\nnet_interface {address}\ncall_max_calls 1\nrtp_ports 10000-19999\n\
         audio_source aufile,{dir}/spoken.wav\nausrc_srate 8000\nausrc_channels 1\nauplay_srate 8000\n\
         auplay_channels 1\nmodule_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n\
         module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {address}:{CONTROL}\n\
         snd_path {dir}\nstatmode_default off\n"
    )
}

#[cfg(test)]
mod tests {
    use super::netstring;

    #[test]
    fn a_netstring_is_read_when_it_is_whole() {
        assert_eq!(netstring(b"3:abc,2:de"), Some((&b"abc"[..], 6)));
        for part in ["", "3", "3:", "3:abc", "2:de"] {
            assert_eq!(netstring(part.as_bytes()), None, "{part}");
        }
    }
}
