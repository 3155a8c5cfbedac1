//! Captures as tshark reads them, and collectors of HEP: one of ours that writes down what comes, and sngrep.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Lab;
use crate::process::{Process, wait_until};

/// The port of a collector.
pub const HEP_PORT: u16 = 9060;
/// How often a collector looks whether it should end.
const LOOK: Duration = Duration::from_millis(20);

/// For sngrep to start, to read and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether tshark is there; tests that want it pass without having looked at anything where it is not, and say so.
pub fn has_tshark() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        crate::process::report("tshark is not installed: the capture is not looked at");
    }
    found
}

/// What tshark finds in a file: the fields of each packet that passes the filter. Checksums are checked.
#[track_caller]
pub fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file);
    for check in ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE"] {
        command.args(["-o", check]);
    }
    if !filter.is_empty() {
        command.args(["-Y", filter]);
    }
    command.args(["-T", "fields", "-E", "separator=\t"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark {filter}: {said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What sngrep writes to a file of packets of HEP that it hears at host number `host`. Nothing where it is not installed, which is said.
#[track_caller]
pub fn sngrep(lab: &Lab, host: u8, packets: &[Vec<u8>]) -> Option<PathBuf> {
    let found = Command::new("sngrep").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        crate::process::report("sngrep is not installed: nobody else reads what is sent by HEP");
        return None;
    }
    let (at, file) = (SocketAddr::from((lab.host(host), HEP_PORT)), lab.path("sngrep.pcap"));
    let mut command = Command::new("sngrep");
    command
        .args(["--no-config", "--no-interface", "--quiet", "--eep-listen", &format!("udp:{at}"), "--output"])
        .arg(&file);
    let mut sngrep = Process::start(&mut command, lab.dir(), "sngrep");
    let IpAddr::V4(ip) = at.ip() else { panic!("the lab's addresses are of IPv4") };
    let local = format!(" {:08X}:{HEP_PORT:04X} ", u32::from(ip).swap_bytes());
    wait_until("sngrep listens", PATIENCE, || {
        std::fs::read_to_string("/proc/net/udp").is_ok_and(|sockets| sockets.contains(&local))
    });
    let socket = UdpSocket::bind((lab.host(host), 0)).expect("the lab's addresses are free");
    for packet in packets {
        socket.send_to(packet, at).expect("loopback takes it");
    }
    // What it holds back is written when it ends, but what still waits in its socket is not.
    wait_until("sngrep has read all", PATIENCE, || {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let queues = sockets.lines().find(|line| line.contains(&local)).and_then(|line| line.split_whitespace().nth(4));
        queues.is_some_and(|queues| queues.ends_with(":00000000"))
    });
    sngrep.stop(PATIENCE);
    Some(file)
}

/// A collector of HEP3.
pub struct Collector {
    address: SocketAddr,
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The payload is a SIP message.
pub const SIP: u8 = 1;
/// It is JSON with the reports of RTCP.
pub const RTCP: u8 = 5;

/// What one packet says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hep {
    /// Where its message came from.
    pub from: Option<IpAddr>,
    /// Where it went to.
    pub to: Option<IpAddr>,
    /// The ports of both.
    pub ports: [u16; 2],
    /// When, in seconds since 1970.
    pub seconds: u32,
    /// What the payload is: [`SIP`] or [`RTCP`].
    pub kind: u8,
    /// Of the capture agent.
    pub agent: u32,
    /// What it showed.
    pub password: String,
    /// The correlation id.
    pub correlation: String,
    /// The message.
    pub payload: String,
}

impl Collector {
    /// Listens at host number `host`.
    pub fn start(lab: &Lab, host: u8) -> Self {
        let socket = UdpSocket::bind((lab.host(host), HEP_PORT)).expect("the lab's addresses are free");
        socket.set_read_timeout(Some(LOOK)).expect("a time-out can be set");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (packets, ended) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let (heard, stop) = (Arc::clone(&packets), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer) {
                    heard.lock().expect("nobody panics with it").push(buffer[..length].to_vec());
                }
            }
        });
        Self { address, packets, ended, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has come.
    #[track_caller]
    pub fn heard(&self) -> Vec<Hep> {
        self.packets().iter().map(|packet| read(packet)).collect()
    }

    /// The same as it came.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        self.packets.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[track_caller]
fn read(packet: &[u8]) -> Hep {
    assert!(packet.starts_with(b"HEP3"), "{packet:?}");
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
    let (mut hep, mut rest) = (Hep::default(), &packet[6..]);
    while let [_, _, high, low, a, b, ..] = rest {
        let (kind, length) = (u16::from_be_bytes([*high, *low]), usize::from(u16::from_be_bytes([*a, *b])));
        let value = &rest[6..length];
        let text = || String::from_utf8_lossy(value).into_owned();
        let port = || value.try_into().map_or(0, u16::from_be_bytes);
        match kind {
            3 => hep.from = <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            4 => hep.to = <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            7 => hep.ports[0] = port(),
            8 => hep.ports[1] = port(),
            9 => hep.seconds = value.try_into().map_or(0, u32::from_be_bytes),
            11 => hep.kind = value[0],
            12 => hep.agent = value.try_into().map_or(0, u32::from_be_bytes),
            14 => hep.password = text(),
            15 => hep.payload = text(),
            17 => hep.correlation = text(),
            _ => {}
        }
        rest = &rest[length..];
    }
    hep
}
