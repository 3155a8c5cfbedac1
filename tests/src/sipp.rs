//! SIPp, the user agent of most peer tests. Scenarios are in `peers/sipp`; `parts` there holds the pieces they share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Lab;
use crate::process::{Process, tail, wait_until};
use crate::tables::PORT;

/// How long a scenario may run unless [`Sipp::limit`] says otherwise.
const LIMIT: Duration = Duration::from_secs(40);
/// SIPp's own exit code for "all calls done and well".
const WELL: i32 = 0;

/// A SIPp process to be started.
pub struct Sipp<'lab> {
    lab: &'lab Lab,
    name: String,
    scenario: String,
    host: u8,
    port: u16,
    arguments: Vec<String>,
    limit: Duration,
    traced: bool,
}

impl<'lab> Sipp<'lab> {
    /// A user agent at host number `host`, playing `peers/sipp/<scenario>.xml`.
    pub fn new(lab: &'lab Lab, host: u8, scenario: &str) -> Self {
        Self {
            lab,
            name: format!("{scenario}-{host}"),
            scenario: read_scenario(scenario),
            host,
            port: PORT,
            arguments: Vec::new(),
            limit: LIMIT,
            traced: true,
        }
    }

    /// Puts `value` where the scenario says `@marker@`.
    #[must_use]
    pub fn set(mut self, marker: &str, value: &str) -> Self {
        let marker = format!("@{marker}@");
        assert!(self.scenario.contains(&marker), "{}: no {marker} in it", self.name);
        self.scenario = self.scenario.replace(&marker, value);
        self
    }

    /// Further words on its command line.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&a| a.to_owned()));
        self
    }

    /// How many calls it makes or takes, how many a second, and no trace of each message.
    #[must_use]
    pub fn load(mut self, calls: usize, rate: usize) -> Self {
        self.traced = false;
        self.args(&["-r", &rate.to_string(), "-m", &calls.to_string(), "-l", "20000"])
    }

    /// How long it may run.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Another local port than [`PORT`], and a name of its own.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self.name = format!("{}-{port}", self.name);
        self
    }

    /// Starts it as the side that is called; returns when it listens. It ends by itself after `calls` calls.
    #[track_caller]
    pub fn serve(self, calls: usize) -> Running {
        let address = (self.lab.host(self.host), self.port);
        let tcp = self.arguments.iter().any(|a| a == "t1");
        let sipp = self.args(&["-m", &calls.to_string()]).spawn(None);
        wait_until(&format!("{} listens", sipp.name), Duration::from_secs(10), || {
            if tcp {
                std::net::TcpListener::bind(address).is_err()
            } else {
                std::net::UdpSocket::bind(address).is_err()
            }
        });
        sipp
    }

    /// Starts it as the caller of `called` through `target` (`address:port`).
    pub fn call(self, target: &str, called: &str) -> Running {
        let once = !self.arguments.iter().any(|a| a == "-m");
        let sipp = if once { self.args(&["-m", "1"]) } else { self };
        sipp.args(&["-s", called]).spawn(Some(target))
    }

    fn spawn(self, target: Option<&str>) -> Running {
        let scenario = self
            .scenario
            .replace("@direction@", "sendrecv")
            .replace("@caller@", "+442071230000")
            .replace("@pause@", "300");
        let scenario = self.lab.write(&format!("{}.xml", self.name), &scenario);
        let host = self.lab.host(self.host).to_string();
        let files = Files { dir: self.lab.dir().to_owned(), name: self.name.clone() };
        let seconds = self.limit.as_secs().to_string();
        let mut command = Command::new("sipp");
        command.env("TERM", "xterm").current_dir(self.lab.dir());
        command.args(target).arg("-sf").arg(scenario);
        command.args(["-i", &host, "-p", &self.port.to_string(), "-mi", &host, "-nostdin", "-skip_rlimit"]);
        command.args(["-timeout", &seconds, "-timeout_error", "-fd", "1"]);
        command.arg("-trace_err").arg("-error_file").arg(files.path("errors"));
        command.arg("-trace_stat").arg("-stf").arg(files.path("stat"));
        command.arg("-trace_logs").arg("-log_file").arg(files.path("log"));
        if self.traced {
            command.arg("-trace_msg").arg("-message_file").arg(files.path("messages"));
        }
        command.args(&self.arguments);
        let process = Process::start(&mut command, self.lab.dir(), &self.name);
        Running { name: self.name, process, files, limit: self.limit }
    }
}

struct Files {
    dir: PathBuf,
    name: String,
}

impl Files {
    fn path(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", self.name))
    }
}

/// A SIPp process that runs.
pub struct Running {
    name: String,
    process: Process,
    files: Files,
    limit: Duration,
}

impl Running {
    /// Waits for its end; panics, with its own account of what went wrong, unless every call went by the scenario.
    #[track_caller]
    pub fn done(mut self) -> Done {
        let status = self.process.wait(self.limit + Duration::from_secs(10));
        let done = Done { files: self.files };
        assert!(
            status.code() == Some(WELL),
            "{}: {status}\n{}\n{}",
            self.name,
            tail(&done.files.path("errors"), 3_000),
            tail(&done.files.path("messages"), 6_000)
        );
        done
    }

    /// Waits for its end, however it went.
    #[track_caller]
    pub fn ended(mut self) -> Done {
        self.process.wait(self.limit + Duration::from_secs(10));
        Done { files: self.files }
    }

    /// Ends it now.
    pub fn kill(mut self) -> Done {
        self.process.kill();
        Done { files: self.files }
    }

    /// What the scenario has logged so far, a line an action.
    pub fn logged(&self) -> Vec<String> {
        lines(&self.files.path("log"))
    }

    /// Every message that it sent or received so far, each with SIPp's own heading.
    pub fn messages(&self) -> String {
        tail(&self.files.path("messages"), usize::MAX)
    }
}

/// What a SIPp process left behind.
pub struct Done {
    files: Files,
}

impl Done {
    /// What the scenario logged, a line an action.
    pub fn logged(&self) -> Vec<String> {
        lines(&self.files.path("log"))
    }

    /// Every message that it sent or received, each with SIPp's own heading.
    pub fn messages(&self) -> String {
        tail(&self.files.path("messages"), usize::MAX)
    }

    /// The messages that it received whose first line starts with `start`.
    pub fn received(&self, start: &str) -> Vec<String> {
        let messages = self.messages();
        let blocks = messages.split("-----------------------------------------------");
        let received = blocks.filter(|block| block.lines().take(3).any(|line| line.contains("message received")));
        let bodies = received.filter_map(|block| Some(block.split_once(":\n\n")?.1.trim_start().to_owned()));
        bodies.filter(|body| body.starts_with(start)).collect()
    }

    /// A figure of its statistics, such as `SuccessfulCall(C)` or `Retransmissions(C)`.
    #[track_caller]
    pub fn statistic(&self, column: &str) -> u64 {
        let statistics = statistics(&self.files.path("stat"));
        let value = statistics.get(column).unwrap_or_else(|| panic!("no column {column} in {statistics:?}"));
        value.parse().unwrap_or_else(|_| panic!("{column}: {value}"))
    }
}

/// The last line of a statistics file by its headings.
fn statistics(path: &Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let (Some(head), Some(last)) = (text.lines().next(), text.lines().last()) else { return HashMap::new() };
    head.split(';').map(str::to_owned).zip(last.split(';').map(str::to_owned)).collect()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
}

fn read_scenario(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/sipp");
    let mut text = read(&folder.join(format!("{name}.xml")));
    for entry in std::fs::read_dir(folder.join("parts")).expect("peers/sipp/parts exists") {
        let path = entry.expect("readable").path();
        let part = path.file_stem().expect("a part has a name").to_string_lossy().into_owned();
        text = text.replace(&format!("@{part}@"), read(&path).trim_end());
    }
    text
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
