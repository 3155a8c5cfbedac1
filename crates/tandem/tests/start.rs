//! What keeps a node from starting is said in one line: with exit code 2 where the input is wrong, with 1 where another process is
//! in the way, which may be gone at the next try.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The ports of one node on an address of its own.
struct Plan {
    sip: u16,
    http: u16,
    media: [u16; 2],
}

/// Ports that are free just now.
fn plan(media: u16) -> Plan {
    let free = || TcpListener::bind("127.0.73.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    Plan { sip: free(), http: free(), media: [media, media + 15] }
}

fn node_toml(plan: &Plan, data: &Path) -> String {
    let Plan { sip, http, media: [first, last] } = plan;
    format!(
        "[node]\nname = \"t-1\"\nsite = \"t\"\ndata_dir = {:?}\n\n\
         [sip]\nudp = [\"127.0.73.1:{sip}\"]\ntcp = [\"127.0.73.1:{sip}\"]\n\n\
         [media]\naddress = \"127.0.73.1\"\nports = [{first}, {last}]\nworkers = 1\n\n\
         [http]\nlisten = \"127.0.73.1:{http}\"\n",
        data.display().to_string()
    )
}

fn tandem(folder: &Path, text: &str) -> Command {
    let path = folder.join("node.toml");
    fs::write(&path, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("node").arg("-c").arg(path).stdin(Stdio::null()).env("TANDEM_LOG", "error");
    command
}

/// Runs a node whose input is wrong, and answers what it says.
fn refused(folder: &Path, text: &str) -> String {
    said_with(2, folder, text)
}

/// Runs a node in whose way another process is, and answers what it says.
fn in_the_way(folder: &Path, text: &str) -> String {
    said_with(1, folder, text)
}

fn said_with(code: i32, folder: &Path, text: &str) -> String {
    let mut command = tandem(folder, text);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let Output { status, stderr, .. } = ended(child);
    let said = String::from_utf8(stderr).expect("text");
    assert_eq!(status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    said
}

fn ended(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let output = child.wait_with_output().expect("ends");
            panic!("still running: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("ends")
}

#[test]
fn a_broken_file_names_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(42_000);
    let good = node_toml(&plan, &folder.path().join("data"));
    let said = refused(folder.path(), &good.replace("site =", "sight ="));
    assert!(said.contains("node.toml:3") && said.contains("sight"), "{said}");
    let said = refused(folder.path(), &good.replace("[sip]", "[sip"));
    assert!(said.contains("node.toml:6"), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tandem")).args(["node", "-c", "no/such/node.toml"]).output().expect("runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("no/such/node.toml"), "{said}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let plan = plan(42_020);
    let text = node_toml(&plan, &data);
    let udp = UdpSocket::bind(("127.0.73.1", plan.sip)).expect("free");
    let said = in_the_way(folder.path(), &text);
    assert!(said.contains(&format!("udp 127.0.73.1:{}", plan.sip)), "{said}");
    drop(udp);
    let tcp = TcpListener::bind(("127.0.73.1", plan.sip)).expect("free");
    let said = in_the_way(folder.path(), &text);
    assert!(said.contains(&format!("tcp 127.0.73.1:{}", plan.sip)), "{said}");
    drop(tcp);
    let cluster = TcpListener::bind("127.0.73.1:0").expect("a port");
    let address = cluster.local_addr().expect("bound");
    let said = in_the_way(folder.path(), &format!("{text}\n[cluster]\nlisten = \"{address}\"\n"));
    assert!(said.contains(&address.to_string()), "{said}");
    drop(cluster);
    let _http = TcpListener::bind(("127.0.73.1", plan.http)).expect("free");
    let said = in_the_way(folder.path(), &text);
    assert!(said.contains(&format!("127.0.73.1:{}", plan.http)), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let said = refused(folder.path(), &node_toml(&plan(42_040), &file.join("data")));
    assert!(said.contains("data_dir") && said.contains("file/data"), "{said}");
}

/// Ends its process however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_node_on_the_same_folder_is_refused() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let data = first.path().join("data");
    let (one, other) = (plan(42_060), plan(42_080));
    let child = tandem(first.path(), &node_toml(&one, &data)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut running = Running(child.expect("starts"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.73.1", one.http)).is_err() {
        assert!(Instant::now() < deadline, "the first node is not ready");
        assert!(running.0.try_wait().expect("a child").is_none(), "the first node ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = in_the_way(second.path(), &node_toml(&other, &data));
    assert!(said.contains("data_dir") && said.contains("another node"), "{said}");
    assert!(running.0.try_wait().expect("a child").is_none(), "the first one goes on");
}
