//! rtpengine as the peer: its userspace daemon with one thread, set up through its control protocol (bencode on UDP).

use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::kamailio::taken;
use crate::process::{Process, installed};

/// Where it relays.
pub(crate) const HOST: &str = "127.77.3.1";
const CONTROL: &str = "127.77.3.1:22222";

/// `None` where it is not installed.
pub(crate) fn start(core: usize, folder: &Path) -> Result<Option<(Process, Control)>> {
    let Some(program) = installed("rtpengine") else { return Ok(None) };
    let interface = format!("--interface={HOST}");
    let control = format!("--listen-ng={CONTROL}");
    let arguments = [
        "--config-file=none",
        "--foreground",
        "--log-stderr",
        "--log-level=3",
        "--table=-1",
        "--num-threads=1",
        "--port-min=10000",
        "--port-max=64998",
        &interface,
        &control,
    ];
    let mut process = Process::start(core, &program, &arguments, &folder.join("rtpengine.log"))?;
    process.wait_until(Duration::from_secs(20), || taken(CONTROL))?;
    Ok(Some((process, Control::new()?)))
}

/// A client of the control protocol.
pub(crate) struct Control {
    socket: UdpSocket,
    cookie: u64,
}

impl Control {
    fn new() -> Result<Self> {
        let socket = UdpSocket::bind("127.77.3.2:0")?;
        socket.connect(CONTROL)?;
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        Ok(Self { socket, cookie: 0 })
    }

    /// Makes a session between two ends; returns the addresses to which each of them is to send.
    pub(crate) fn join(&mut self, call: u64, caller: SocketAddr, callee: SocketAddr) -> Result<[SocketAddr; 2]> {
        let to_callee = self.side("offer", call, caller, false)?;
        let to_caller = self.side("answer", call, callee, true)?;
        Ok([to_caller, to_callee])
    }

    /// Ends a session.
    pub(crate) fn delete(&mut self, call: u64) -> Result<()> {
        let body = format!("d{}{}{}e", pair("call-id", &name(call)), pair("command", "delete"), pair("from-tag", "a"));
        self.ask(&body).map(|_| ())
    }

    fn side(&mut self, command: &str, call: u64, end: SocketAddr, answer: bool) -> Result<SocketAddr> {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n\
             a=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n",
            ip = end.ip(),
            port = end.port()
        );
        let to = if answer { pair("to-tag", "b") } else { String::new() };
        let body = format!(
            "d{}{}{}{}{}e",
            pair("call-id", &name(call)),
            pair("command", command),
            pair("from-tag", "a"),
            pair("sdp", &sdp),
            to
        );
        let reply = self.ask(&body)?;
        let (_, rest) = reply.split_once("3:sdp").with_context(|| format!("no SDP in {reply}"))?;
        let line = rest.lines().find_map(|line| line.strip_prefix("m=audio ")).context("no audio in the reply")?;
        let port: u16 = line.split(' ').next().unwrap_or("").parse()?;
        Ok(SocketAddr::new(HOST.parse()?, port))
    }

    fn ask(&mut self, body: &str) -> Result<String> {
        self.cookie += 1;
        self.socket.send(format!("{} {body}", self.cookie).as_bytes())?;
        let mut buffer = [0; 8192];
        let length = self.socket.recv(&mut buffer).context("rtpengine does not answer")?;
        let reply = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !reply.starts_with(&format!("{} ", self.cookie)) || !reply.contains("6:result2:ok") {
            bail!("rtpengine refused: {reply}");
        }
        Ok(reply)
    }
}

fn name(call: u64) -> String {
    format!("bench-{call}")
}

/// A key and its string in bencode.
fn pair(key: &str, value: &str) -> String {
    format!("{}:{key}{}:{value}", key.len(), value.len())
}
