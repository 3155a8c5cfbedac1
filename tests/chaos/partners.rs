//! A PBX that calls into every site in turn, and a carrier that answers, both with audio that is checked sample by sample.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use load::{NumberRange, Options, Progress, Report, Snapshot};
use tests::cluster::{ALPHA, CARRIER_PORT, PBX};
use tests::process::wait_until;
use tests::{Cluster, Lab};

/// How long a run may take at all.
const LONGEST: Duration = Duration::from_secs(600);

/// How much is under way.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// New calls a second.
    pub(crate) rate: u32,
    /// From answer to BYE.
    pub(crate) hold_s: u64,
    /// From INVITE to answer.
    pub(crate) ring_ms: u64,
    /// Whether the times are held as well: on a machine that has nothing else to do.
    pub(crate) exact: bool,
}

impl Size {
    /// Calls that are up or ringing at a time.
    pub(crate) fn open(self) -> u64 {
        u64::from(self.rate) * (self.hold_s * 1_000 + self.ring_ms) / 1_000
    }
}

/// Both of them, calling.
pub(crate) struct Partners {
    progress: Arc<Progress>,
    thread: JoinHandle<Result<Report, load::Error>>,
}

impl Partners {
    /// Calls into every site, or into one alone. Returns when as many calls are open as there will be.
    #[track_caller]
    pub(crate) fn call(lab: &Lab, cluster: &Cluster<'_>, size: Size, site: Option<&str>) -> Self {
        let entrances = cluster.members().iter().zip(cluster.sip());
        let entrances = entrances.filter(|(member, _)| site.is_none_or(|site| member.site() == site));
        let entrances: Vec<SocketAddr> =
            entrances.map(|(_, sip)| sip.parse().expect("an address and a port")).collect();
        let (pbx, carrier) = (SocketAddr::new(lab.host(PBX), 5060), SocketAddr::new(lab.host(ALPHA), CARRIER_PORT));
        let mut options = Options::new(pbx, Some(carrier), entrances[0]);
        options.more_targets = entrances[1..].to_vec();
        options.rate = size.rate.into();
        options.duration = LONGEST;
        options.hold = Duration::from_secs(size.hold_s);
        options.ring = Duration::from_millis(size.ring_ms);
        options.audio = true;
        options.failover = Some(Duration::from_millis(500));
        options.retries_503 = true;
        options.caller_numbers = NumberRange { first: "+442071230100".into(), count: 100 };
        options.called_numbers = NumberRange { first: "+447700900000".into(), count: 10_000 };
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = std::thread::spawn(move || load::run(&options, &shared));
        let partners = Self { progress, thread };
        let limit = Duration::from_millis(size.hold_s * 1_000 + size.ring_ms) * 2 + Duration::from_secs(5);
        wait_until("the calls are up", limit, || partners.snapshot().in_flight * 100 >= size.open() * 95);
        partners
    }

    /// Where they stand.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.progress.snapshot()
    }

    /// Hangs up what is open, and tells what they heard.
    #[track_caller]
    pub(crate) fn end(self) -> Report {
        self.progress.stop();
        self.thread.join().expect("the partners do not panic").expect("the partners can call")
    }
}
