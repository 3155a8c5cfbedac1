//! What breaks while calls are up, and what must hold all the same.

use std::time::{Duration, Instant};

use crate::partners::{Partners, Size};
use crate::verdict::Verdict;
use tests::process::{sleep_until, wait_until};
use tests::{Cluster, Lab, cluster::Links};
use topology::{Link, Target};

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// kill -9 of a node that does not lead the tables.
    KillFollower,
    /// kill -9 of the one that does.
    KillLeader,
    /// SIGSTOP for ten seconds, then SIGCONT.
    Pause,
    /// The link between two sites carries nothing for ten seconds.
    Cut,
    /// Every node is drained, stopped, started and let in again, one after the other.
    Rolling,
}

/// How long a node stands still, and a link is cut.
const LASTS: Duration = Duration::from_secs(10);
/// After a fault: longer than any takeover.
const SETTLE: Duration = Duration::from_secs(5);

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::KillFollower => "kill -9 of a node",
            Self::KillLeader => "kill -9 of the leader",
            Self::Pause => "SIGSTOP 10 s, SIGCONT",
            Self::Cut => "link cut between two sites",
            Self::Rolling => "rolling restart by drain",
        }
    }

    /// Makes it happen; who was killed by it, if anybody, and how many calls that node carried.
    fn happen(self, cluster: &mut Cluster<'_>) -> (Option<String>, u64) {
        let leader = cluster.leader().expect("somebody leads");
        let follower = cluster.other_than(&leader).name().to_owned();
        match self {
            Self::KillFollower => kill(cluster, follower),
            Self::KillLeader => kill(cluster, leader),
            Self::Pause => {
                let calls = calls(cluster, &follower);
                cluster.pause(&follower);
                sleep_until(Instant::now() + LASTS);
                cluster.resume(&follower);
                (None, calls)
            }
            Self::Cut => {
                let [one, other] = ["fra", "lon"].map(|site| Target::Site(site.to_owned()));
                let link = Link { one, other };
                cluster.set_cut(&link, true);
                sleep_until(Instant::now() + LASTS);
                cluster.set_cut(&link, false);
                (None, 0)
            }
            Self::Rolling => (None, roll(cluster)),
        }
    }
}

fn calls(cluster: &Cluster<'_>, name: &str) -> u64 {
    cluster.member(name).sees(name).and_then(|node| node["relay_sessions"].as_u64()).unwrap_or(0)
}

fn kill(cluster: &mut Cluster<'_>, name: String) -> (Option<String>, u64) {
    let calls = calls(cluster, &name);
    cluster.kill(&name);
    (Some(name), calls)
}

/// Restarts every node as an operator does; how many calls were moved for that.
fn roll(cluster: &mut Cluster<'_>) -> u64 {
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    let mut moved = 0;
    for name in names {
        moved += calls(cluster, &name);
        let (status, said) = cluster.other_than(&name).cli(&["cluster", "drain", &name]);
        assert_eq!(status, Some(0), "{said}\n{}", cluster.logs());
        cluster.stop(&name);
        cluster.restart(&name);
        let (status, said) = cluster.member(&name).cli(&["cluster", "undrain", &name]);
        assert_eq!(status, Some(0), "{said}");
        cluster.wait_formed();
    }
    moved
}

/// Lets it happen while calls are up, and holds what was promised.
#[track_caller]
pub(crate) fn survive(size: Size, fault: Fault) {
    if fault == Fault::Cut && !Links::can_be_cut() {
        return;
    }
    let lab = Lab::alone();
    let mut cluster = Cluster::serving(&lab);
    let partners = Partners::call(&lab, &cluster, size);
    let (killed, carried) = fault.happen(&mut cluster);
    let after = Instant::now() + SETTLE;
    sleep_until(after);
    let report = partners.end();
    if let Some(name) = &killed {
        cluster.restart(name);
    }
    cluster.wait_formed();
    let mut verdict = Verdict::of(fault.name(), carried, report);
    wait_until("the records are written", Duration::from_secs(60), || {
        verdict.count(&cluster);
        verdict.has_all_records()
    });
    verdict.print();
    verdict.hold(size, fault, &cluster);
}
