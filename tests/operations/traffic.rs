//! Calls with audio of a PBX to one carrier, over all sites.

use load::{NumberRange, Options, Progress, Report};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tests::cluster::{ALPHA, CARRIER_PORT, PBX};
use tests::process::wait_until;
use tests::{Cluster, Lab};

/// From answer to BYE: longer than it takes to see that a side is not heard.
pub(crate) const HOLD: Duration = Duration::from_secs(12);
/// New calls a second to the carrier without a limit, and to the one of ten channels.
const RATES: (f64, f64) = (3.0, 0.5);
/// However the test ends, the calls do.
const LONGEST: Duration = Duration::from_secs(600);

/// They go on until they are ended.
pub(crate) struct Traffic {
    progress: Arc<Progress>,
    thread: JoinHandle<Result<Report, load::Error>>,
}

impl Traffic {
    /// Calls to a carrier that answers.
    pub(crate) fn to(lab: &Lab, cluster: &Cluster<'_>, carrier: u8) -> Self {
        Self::start(lab, cluster, carrier, Some(SocketAddr::new(lab.host(carrier), CARRIER_PORT)))
    }

    /// Calls to a carrier that somebody else is.
    pub(crate) fn from_callers_to(lab: &Lab, cluster: &Cluster<'_>, carrier: u8) -> Self {
        Self::start(lab, cluster, carrier, None)
    }

    fn start(lab: &Lab, cluster: &Cluster<'_>, carrier: u8, callee: Option<SocketAddr>) -> Self {
        let entrances: Vec<SocketAddr> = cluster.sip().iter().map(|sip| sip.parse().expect("an address")).collect();
        let unlimited = carrier == ALPHA;
        // Both carriers are called at the same time.
        let caller = SocketAddr::new(lab.host(PBX), if unlimited { 5060 } else { 5062 });
        let mut options = Options::new(caller, callee, entrances[0]);
        options.more_targets = entrances[1..].to_vec();
        options.rate = if unlimited { RATES.0 } else { RATES.1 };
        options.duration = LONGEST;
        options.hold = HOLD;
        options.ring = Duration::from_millis(300);
        options.audio = true;
        options.failover = Some(Duration::from_millis(500));
        options.caller_numbers = NumberRange { first: "+442071230100".into(), count: 100 };
        let first = if unlimited { "+447700900000" } else { "+493000000000" };
        options.called_numbers = NumberRange { first: first.into(), count: 10_000 };
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = std::thread::spawn(move || load::run(&options, &shared));
        Self { progress, thread }
    }

    /// Waits until about as many calls are up as there will be.
    #[track_caller]
    pub(crate) fn wait_up(&self) {
        let expected = RATES.0 * HOLD.as_secs_f64() * 0.9;
        wait_until("the calls are up", HOLD * 3, || self.progress.snapshot().in_flight as f64 >= expected);
    }

    /// Hangs up what is open.
    #[track_caller]
    pub(crate) fn end(self) {
        self.progress.stop();
        let _ = self.thread.join().expect("the partners do not panic").expect("the partners can call");
    }
}
