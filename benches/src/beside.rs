//! Switches that are called at the same time: from one minute to the next the machine costs more or less than what a comparison is
//! after, and so all have the same minutes.

use anyhow::Result;
use load::{Progress, Report};
use std::net::SocketAddr;
use std::thread;

use crate::signalling::{Switch, ends};

/// Where the calls of one of several switches come from and go to.
pub(crate) fn ends_of(number: u16) -> (SocketAddr, SocketAddr) {
    let (mut caller, mut callee) = ends();
    caller.set_port(caller.port() + number);
    callee.set_port(callee.port() + number);
    (caller, callee)
}

/// Calls through each of `switches` at `rate` each, between its own [`ends_of`]: what their generators saw, in their order.
pub(crate) fn offer(switches: &[SocketAddr], rate: f64, seconds: u64) -> Result<Vec<Report>> {
    thread::scope(|scope| {
        let offer = |(address, number): (&SocketAddr, u16)| {
            let (ends, address) = (ends_of(number), *address);
            scope.spawn(move || Switch::offer_seen(ends, address, rate, seconds, &Progress::default()))
        };
        let offering: Vec<_> = switches.iter().zip(0..).map(offer).collect();
        offering.into_iter().map(|one| one.join().expect("the generator does not panic")).collect()
    })
}
