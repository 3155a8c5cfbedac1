//! What breaks while calls are up, and what must hold all the same.

use std::time::{Duration, Instant};

use crate::partners::{Partners, Size};
use crate::verdict::Verdict;
use tests::cluster::{Links, Member};
use tests::process::{holds_within, report, sleep_until, wait_until};
use tests::{Cluster, Lab};
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
    /// Every node is told to end and started again, one after the other, and nothing else: it empties itself.
    Ending,
    /// kill -9 of a node, and of the one that takes over the most of its calls, as soon as it has begun. Five nodes.
    KillHeir,
    /// kill -9 of a node, and of another one when all calls have a copy again. Five nodes.
    KillTwo,
    /// kill -9 of a node and of the one that keeps the most of its calls, at once. Three nodes in the one site that is called.
    KillBoth,
    /// Every node is killed with -9 and started again, one after the other, without waiting for the cluster to stand.
    Storm,
}

/// The site of three nodes.
const LARGE: &str = "fra";
/// How long a node stands still, and a link is cut.
const LASTS: Duration = Duration::from_secs(10);
/// In a restart storm: from the kill of a node to its start, and from there to the kill of the next.
const STORM: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// How long it may take until all calls have a copy again.
const PROTECT_LIMIT: Duration = Duration::from_secs(30);
/// A node looks at all of its calls once in so long.
const ROUND: Duration = Duration::from_secs(3);
/// How long call records may take: a node that comes back asks the others first.
const RECORDS_LIMIT: Duration = Duration::from_secs(60);
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
            Self::Ending => "rolling restart by SIGTERM",
            Self::KillHeir => "kill -9 during a takeover",
            Self::KillTwo => "kill -9 of two, one by one",
            Self::KillBoth => "kill -9 of call and copy",
            Self::Storm => "restart storm by kill -9",
        }
    }

    /// Where it happens: three nodes are not enough where more than one of them dies.
    fn place(self, lab: &Lab) -> Cluster<'_> {
        match self {
            Self::KillHeir | Self::KillTwo => Cluster::five_nodes(lab),
            Self::KillBoth => Cluster::large_site(lab),
            Self::KillFollower
            | Self::KillLeader
            | Self::Pause
            | Self::Cut
            | Self::Rolling
            | Self::Ending
            | Self::Storm => Cluster::serving(lab),
        }
    }

    /// The one site that is called; otherwise all are.
    fn entrance(self) -> Option<&'static str> {
        (self == Self::KillBoth).then_some(LARGE)
    }

    /// Makes it happen, and tells whom it met.
    fn happen(self, cluster: &mut Cluster<'_>) -> Met {
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
                Met { carried: calls, ..Met::default() }
            }
            Self::Cut => {
                let [one, other] = ["fra", "lon"].map(|site| Target::Site(site.to_owned()));
                let link = Link { one, other };
                cluster.set_cut(&link, true);
                sleep_until(Instant::now() + LASTS);
                cluster.set_cut(&link, false);
                Met::default()
            }
            Self::Rolling => Met { carried: roll(cluster), ..Met::default() },
            Self::Ending => Met { carried: end_each(cluster), ..Met::default() },
            Self::KillHeir => kill_heir(cluster, follower),
            Self::KillTwo => {
                let first = kill(cluster, follower);
                wait_protected(cluster, first.carried);
                let second = cluster.other_than(&leader).name().to_owned();
                first.and(kill(cluster, second))
            }
            Self::KillBoth => kill_both(cluster, &leader),
            Self::Storm => Met { carried: storm(cluster), ..Met::default() },
        }
    }
}

/// What a fault met.
#[derive(Default)]
pub(crate) struct Met {
    /// Nodes that are dead now.
    dead: Vec<String>,
    /// Calls that the nodes carried.
    pub(crate) carried: u64,
    /// Of those, calls of which both copies may be gone.
    pub(crate) doomed: u64,
}

impl Met {
    fn and(mut self, other: Self) -> Self {
        self.dead.extend(other.dead);
        Self { carried: self.carried + other.carried, doomed: self.doomed + other.doomed, ..self }
    }
}

fn calls(cluster: &Cluster<'_>, name: &str) -> u64 {
    cluster.member(name).sees(name).and_then(|node| node["relay_sessions"].as_u64()).unwrap_or(0)
}

fn kill(cluster: &mut Cluster<'_>, name: String) -> Met {
    let carried = calls(cluster, &name);
    cluster.kill(&name);
    Met { dead: vec![name], carried, doomed: 0 }
}

/// Calls that a node has begun to take over since it was started.
fn taken(member: &Member) -> u64 {
    let count = member.metric("tandem_takeover_calls_total", "") + member.metric("tandem_takeover_waiting", "");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = count as u64;
    count
}

fn running<'c>(cluster: &'c Cluster<'_>) -> impl Iterator<Item = &'c Member> {
    cluster.members().iter().filter(|member| member.is_started())
}

/// Kills a node, and its foremost heir in the middle of its work. What the heir has just taken, and its own calls that had
/// their copy at the first, may be known to nobody else yet.
fn kill_heir(cluster: &mut Cluster<'_>, first: String) -> Met {
    let first = kill(cluster, first);
    let mut heir = None;
    wait_until("somebody takes calls over", PROTECT_LIMIT, || {
        let most = running(cluster).map(|member| (taken(member), member.name())).max();
        heir = most.filter(|(calls, _)| *calls > 0).map(|(calls, name)| (calls, name.to_owned()));
        heir.is_some()
    });
    let (begun, heir) = heir.expect("somebody does");
    let second = kill(cluster, heir);
    report(&format!(
        "{:?} died with {} calls, and {:?} with {} as it had begun with {begun} of them",
        first.dead, first.carried, second.dead, second.carried
    ));
    let doomed = second.carried;
    Met { doomed, ..first.and(second) }
}

/// Kills a node of the large site and, at the same moment, the node elsewhere that keeps calls of that site: half of what the one
/// carried is then known to nobody but its neighbours.
fn kill_both(cluster: &mut Cluster<'_>, leader: &str) -> Met {
    let is = |member: &&Member, large: bool| member.name() != leader && (member.site() == LARGE) == large;
    let one = running(cluster).find(|member| is(member, true)).expect("three are there").name().to_owned();
    let keeps = |member: &Member| member.metric("tandem_checkpoints_kept", "");
    let others = running(cluster).filter(|member| is(member, false));
    let other = others.max_by(|a, b| keeps(a).total_cmp(&keeps(b))).expect("another site is there");
    report(&format!("{} keeps {} calls of the site", other.name(), keeps(other)));
    let other = other.name().to_owned();
    let (carried, copies) = (calls(cluster, &one), calls(cluster, &other));
    cluster.kill(&one);
    cluster.kill(&other);
    Met { dead: vec![one, other], carried: carried + copies, doomed: 0 }
}

/// Waits until the calls of a dead node have been led elsewhere and every call has a copy again.
#[track_caller]
fn wait_protected(cluster: &Cluster<'_>, carried: u64) {
    let began = Instant::now();
    let everywhere = |metric| running(cluster).map(|member| member.metric(metric, "")).sum::<f64>();
    // Some of those that the node carried have ended by then.
    wait_until("the calls are taken over", PROTECT_LIMIT, || {
        running(cluster).map(taken).sum::<u64>() * 2 >= carried && everywhere("tandem_takeover_waiting") == 0.0
    });
    let mut since = Instant::now();
    wait_until("all calls have a copy for a whole round", PROTECT_LIMIT, || {
        if everywhere("tandem_calls_unprotected") > 0.0 {
            since = Instant::now();
        }
        since.elapsed() >= ROUND
    });
    report(&format!("all calls had a copy {:.1} s after the kill", (since - began).as_secs_f64()));
}

/// Kills and starts each node in turn; how many calls they carried.
fn storm(cluster: &mut Cluster<'_>) -> u64 {
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    let mut carried = 0;
    for name in names {
        carried += kill(cluster, name.clone()).carried;
        sleep_until(Instant::now() + STORM.0);
        cluster.restart(&name);
        sleep_until(Instant::now() + STORM.1);
    }
    carried
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

/// Tells every node to end, and starts it again as soon as it has; how many calls were moved for that.
fn end_each(cluster: &mut Cluster<'_>) -> u64 {
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    let mut moved = 0;
    for name in names {
        moved += calls(cluster, &name);
        let told = Instant::now();
        // It has to end well within the time that it was given.
        cluster.stop(&name);
        let ended = told.elapsed();
        cluster.restart(&name);
        cluster.wait_formed();
        let takes_part = |seen: serde_json::Value| seen["state"] == "up" && seen["shards_owned"].as_u64() > Some(0);
        wait_until("it takes part again by itself", PROTECT_LIMIT, || {
            cluster.other_than(&name).sees(&name).is_some_and(takes_part)
        });
        let whole = told.elapsed().as_secs_f64();
        report(&format!("{name} ended after {:.1} s and took part again after {whole:.1} s", ended.as_secs_f64()));
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
    let mut cluster = fault.place(&lab);
    let partners = Partners::call(&lab, &cluster, size, fault.entrance());
    let met = fault.happen(&mut cluster);
    let after = Instant::now() + SETTLE;
    sleep_until(after);
    let heard = partners.end();
    for name in &met.dead {
        cluster.restart(name);
    }
    cluster.wait_formed();
    let mut verdict = Verdict::of(fault.name(), met, heard);
    // What is missing then is a figure of its row.
    holds_within(RECORDS_LIMIT, || {
        verdict.count(&cluster);
        verdict.has_all_records()
    });
    verdict.print();
    verdict.hold(size, fault, &cluster);
}
