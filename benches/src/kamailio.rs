//! Kamailio as the peer: a stateful proxy with dialogs, one worker, its fast allocators.

use anyhow::Result;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::process::{Process, installed};

/// Where the proxy listens.
pub(crate) const ADDRESS: &str = "127.77.2.1:5060";

/// `None` where it is not installed.
pub(crate) fn start(core: usize, callee: SocketAddr, folder: &Path) -> Result<Option<Process>> {
    let Some(program) = installed("kamailio") else { return Ok(None) };
    let config = folder.join("proxy.cfg");
    std::fs::write(&config, include_str!("../kamailio/proxy.cfg"))?;
    let run = folder.display().to_string();
    let arguments = [
        "-DD".into(),
        "-E".into(),
        "-x".into(),
        "fm".into(),
        "-X".into(),
        "fm".into(),
        "-m".into(),
        "1024".into(),
        "-M".into(),
        "64".into(),
        "-b".into(),
        "4194304".into(),
        "-l".into(),
        format!("udp:{ADDRESS}"),
        "-Y".into(),
        run,
        "-A".into(),
        format!("CALLEE_IP=\"{}\"", callee.ip()),
        "-A".into(),
        format!("CALLEE_PORT=\"{}\"", callee.port()),
        "-f".into(),
        config.display().to_string(),
    ];
    let mut process = Process::start(core, &program, &arguments, &folder.join("kamailio.log"))?;
    process.wait_until(Duration::from_secs(20), || taken(ADDRESS))?;
    // The port is bound before the worker reads it.
    std::thread::sleep(Duration::from_millis(500));
    Ok(Some(process))
}

/// Whether somebody listens at a UDP address.
pub(crate) fn taken(address: &str) -> bool {
    UdpSocket::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}
