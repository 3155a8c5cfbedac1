//! A test's own piece of loopback, its folder, and its share of the machine.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The port on which a test marks its block of addresses as taken.
const CLAIM_PORT: u16 = 1999;

/// A block of addresses `127.a.b.0/24`, a temporary folder, and a lock that keeps load tests apart from the others.
///
/// A test that fails leaves its folder for whoever looks for the reason.
pub struct Lab {
    block: [u8; 2],
    dir: Option<TempDir>,
    _claim: UdpSocket,
    _turn: Option<File>,
}

impl Lab {
    /// For a test that does not mind others at its side.
    pub fn shared() -> Self {
        let turn = turn();
        turn.lock_shared().expect("the lock file can be locked");
        Self::with_turn(Some(turn))
    }

    /// For a test of minutes that loads little and measures nothing closely: nobody waits for it, not even who wants to be alone.
    pub fn beside() -> Self {
        Self::with_turn(None)
    }

    /// For a test that measures or loads, and wants the machine for itself among these tests.
    pub fn alone() -> Self {
        let turn = turn();
        turn.lock().expect("the lock file can be locked");
        Self::with_turn(Some(turn))
    }

    fn with_turn(turn: Option<File>) -> Self {
        let (block, claim) = claim_block();
        let dir = tempfile::Builder::new().prefix("tandem-peers-").tempdir().expect("a temporary folder");
        Self { block, dir: Some(dir), _claim: claim, _turn: turn }
    }

    /// The address of this test's host number `last`: 1 is the node, 10 and up are partners.
    pub fn host(&self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.block[0], self.block[1], last))
    }

    /// The test's folder.
    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("there until the end").path()
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file into the test's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the test's folder is writable");
        path
    }
}

impl Drop for Lab {
    #[allow(clippy::print_stderr, reason = "the one who reads a failed test needs the path")]
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("what the node and the user agents wrote is in {}", dir.keep().display());
        }
    }
}

fn turn() -> File {
    let path = std::env::temp_dir().join("tandem-peers.lock");
    File::options().create(true).truncate(false).write(true).open(path).expect("the lock file can be opened")
}

/// Blocks from 127.64 to 127.191: the demo and the defaults of other programs stay outside.
fn claim_block() -> ([u8; 2], UdpSocket) {
    let start = std::process::id().wrapping_mul(7);
    for step in 0..32_768_u32 {
        let number = start.wrapping_add(step) % 32_768;
        let block = [64 + u8::try_from(number / 256).expect("below 128"), u8::try_from(number % 256).expect("a byte")];
        if let Ok(claim) = UdpSocket::bind((Ipv4Addr::new(127, block[0], block[1], 1), CLAIM_PORT)) {
            return (block, claim);
        }
    }
    panic!("no free block of loopback addresses");
}
