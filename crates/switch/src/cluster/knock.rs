//! Asks the SIP address of a node that the mesh does not hear whether anybody is there (RFC 3261 §11): a site that only lost
//! its links to the others still carries its calls, and nobody may take them over.

use crate::transport::net::{Datagrams, Net, readable};
use mesh::Knock;
use sip::{Builder, Method, Name};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// When the request is sent again: one datagram may be lost.
const AGAIN: Duration = Duration::from_millis(200);

/// Knocks with OPTIONS over UDP, from a port of its own.
pub(crate) struct Options(pub(crate) Arc<dyn Net>);

impl Knock for Options {
    fn knock<'a>(&'a self, address: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(
            async move { tokio::time::timeout(PATIENCE, ask(&*self.0, address)).await.is_ok_and(|answered| answered) },
        )
    }
}

async fn ask(net: &dyn Net, address: &str) -> bool {
    let Some(to) = lookup_host(address).await.ok().and_then(|mut found| found.next()) else { return false };
    let Ok(socket) = net.connect(to) else { return false };
    let Ok(local) = socket.local() else { return false };
    let request = request(to, local);
    let mut buffer = [0; 2048];
    loop {
        if socket.try_send(&request, to).is_err() {
            return false;
        }
        match tokio::time::timeout(AGAIN, receive(&*socket, &mut buffer)).await {
            Ok(Ok(length)) => return buffer[..length].starts_with(b"SIP/2.0 "),
            // The port is closed: nobody is there.
            Ok(Err(_)) => return false,
            Err(_) => {}
        }
    }
}

async fn receive(socket: &dyn Datagrams, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        readable(socket).await?;
        match socket.try_receive(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received.map(|(length, _)| length),
        }
    }
}

fn request(to: SocketAddr, local: SocketAddr) -> bytes::Bytes {
    // The port is this question's own, so it tells it from all others.
    let own = local.port();
    Builder::request(Method::Options, &format!("sip:{to}"))
        .header(Name::Via, format_args!("SIP/2.0/UDP {local};branch=z9hG4bKknock{own:x};rport"))
        .header(Name::MaxForwards, 1)
        .header(Name::From, format_args!("<sip:tandem@{local}>;tag=knock{own:x}"))
        .header(Name::To, format_args!("<sip:{to}>"))
        .header(Name::CallId, format_args!("knock-{own:x}@{}", local.ip()))
        .header(Name::CSeq, "1 OPTIONS")
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::net::System;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn who_answers_is_there_and_who_does_not_is_not() {
        let knock = Options(Arc::new(System));
        let there = UdpSocket::bind("127.0.75.1:0").await.expect("free");
        let address = there.local_addr().expect("bound").to_string();
        let answering = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            let (_, from) = there.recv_from(&mut buffer).await.expect("asked");
            there.send_to(b"SIP/2.0 503 Busy\r\n\r\n", from).await.expect("answers");
            there
        });
        assert!(knock.knock(&address).await, "any answer is a sign of life");
        let silent = answering.await.expect("answered");
        assert!(!knock.knock(&address).await, "silence is none");
        drop(silent);
        assert!(!knock.knock(&address).await, "a closed port is none");
    }
}
