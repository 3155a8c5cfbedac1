//! Calls of user agents that nobody here wrote, through three sites of which the one that carries them dies: SIPp, pjsua2 and
//! baresip follow the call to another node by re-INVITE, as the load generator's own do in `faults.rs`.

mod baresip;
mod pjsua;
mod sipp;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use tests::process::wait_until;
use tests::tables::PORT;
use tests::{Cdr, Cluster, Lab};

/// Host numbers of partners that call. What they call with 44 goes to the first of [`CALLEES`], 49 to the second.
const CALLERS: [u8; 2] = [141, 142];
/// Host numbers of partners that are called.
const CALLEES: [u8; 2] = [151, 152];
/// What each of them is called by.
const NUMBERS: [&str; 2] = ["+447700900001", "+493012345602"];
/// Audio is back within so long of its last packet before the kill, in milliseconds.
const PAUSE_MS: u64 = 3_000;
/// How long records may take: a node that comes back asks the others first.
const RECORDS_LIMIT: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(10);

/// The three sites, of which one carries the calls.
struct Sites<'lab> {
    cluster: Cluster<'lab>,
    carrier: String,
}

impl<'lab> Sites<'lab> {
    /// Starts them, with trunks for foreign partners.
    #[track_caller]
    fn start(lab: &'lab Lab) -> Self {
        let cluster = Cluster::serving(lab);
        let revision = cluster.apply("fra-1", &rows(lab));
        cluster.wait_revision(revision, LIMIT);
        let leader = cluster.leader().expect("somebody leads");
        let carrier = cluster.other_than(&leader).name().to_owned();
        Self { cluster, carrier }
    }

    /// Where the node takes SIP that will die.
    fn sip(&self) -> String {
        self.cluster.member(&self.carrier).sip()
    }

    /// Kills the node as soon as it carries so many calls, each of which has a copy elsewhere.
    #[track_caller]
    fn kill(&mut self, calls: u32) {
        let carrier = self.cluster.member(&self.carrier);
        wait_until("the calls are up and have a copy", LIMIT, || {
            carrier.metric("tandem_relay_sessions", "") == f64::from(calls)
                && carrier.metric("tandem_calls_unprotected", "") == 0.0
        });
        self.cluster.kill(&self.carrier);
    }

    /// Starts the node again, and waits until all is known of so many calls: each was answered and has one final record, and
    /// half of them were ended by the caller, the others by the callee.
    #[track_caller]
    fn settle(mut self, calls: usize) {
        self.cluster.restart(&self.carrier);
        self.cluster.wait_formed();
        let cluster = &self.cluster;
        let everywhere = |metric| cluster.members().iter().map(|member| member.metric(metric, "")).sum::<f64>();
        let finals = || -> Vec<Cdr> {
            let rows = cluster.members().iter().flat_map(|member| member.cdrs());
            rows.filter(|row| row.last).collect()
        };
        wait_until("no call is left and nobody waits to know who closes a record", RECORDS_LIMIT, || {
            everywhere("tandem_relay_sessions") == 0.0 && everywhere("tandem_cdr_undecided") == 0.0
        });
        wait_until("the records are written", RECORDS_LIMIT, || finals().len() >= calls);
        let rows = finals();
        let names: BTreeSet<&str> = rows.iter().map(|row| row.call_id.as_str()).collect();
        assert_eq!((names.len(), rows.len()), (calls, calls), "one final record a call: {rows:#?}");
        assert!(rows.iter().all(Cdr::is_answered), "{rows:#?}");
        let ended = |by: &str| rows.iter().filter(|row| row.ended_by == by).count();
        assert_eq!((ended("caller"), ended("callee")), (calls / 2, calls / 2), "{rows:#?}\n{}", cluster.logs());
    }
}

/// Partners that are not asked for their health: not every foreign scenario answers that.
fn rows(lab: &Lab) -> String {
    let [first, second] = CALLERS.map(|host| lab.host(host));
    let mut text = format!(
        "[[trunk]]\nname = \"foreign\"\naccount = \"acme\"\nmedia = \"relay\"\n[trunk.ingress]\n\
         from = [\"{first}/32\", \"{second}/32\"]\nplan = \"foreign\"\ncaller_policy = \"pass\"\n\
         [[plan]]\nname = \"foreign\"\norder = \"priority\"\n"
    );
    for ((host, number), name) in CALLEES.into_iter().zip(NUMBERS).zip(["abroad", "far-abroad"]) {
        let (prefix, gateway) = (&number[1..3], lab.host(host));
        let _ = write!(
            text,
            "[[plan.route]]\nprefix = \"{prefix}\"\ntrunks = [\"{name}\"]\n\
             [[trunk]]\nname = \"{name}\"\naccount = \"acme\"\nmedia = \"relay\"\n[trunk.egress]\n\
             gateways = [ {{ address = \"{gateway}:{PORT}\", transport = \"udp\", priority = 1, weight = 100 }} ]\n"
        );
    }
    text
}
