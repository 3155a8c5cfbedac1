//! The ten channels of a carrier hold over all nodes together, however the calls come and whoever dies.

use std::time::{Duration, Instant};

use tests::agent::Offered;
use tests::cluster::{BETA, CARRIER_PORT, PBX};
use tests::process::{holds_within, report};
use tests::{Agent, Cluster, Lab};

/// Of the carrier.
const CHANNELS: usize = 10;
/// Calls of one round.
const OFFERED: usize = 60;
/// A call waits at most five seconds for the leader of the limit, and one that rings is taken over before.
const SETTLED: Duration = Duration::from_secs(8);

/// The PBX whose calls arrive everywhere, and the carrier of ten channels.
struct Partners {
    pbx: Agent,
    carrier: Agent,
}

impl Partners {
    fn new(lab: &Lab) -> Self {
        Self { pbx: Agent::bind(lab, PBX, 5060), carrier: Agent::bind(lab, BETA, CARRIER_PORT) }
    }

    /// Offers calls at once, to each node in turn; what became of them when each has its answer.
    #[track_caller]
    fn offer(&self, nodes: &[String], calls: usize) -> Offered {
        self.carrier.most();
        let calls = nodes.iter().cycle().take(calls).map(|node| self.pbx.call(node, "4930123456")).collect();
        let offered = self.pbx.settle(calls, SETTLED);
        let most = self.carrier.most();
        assert!(most <= CHANNELS, "the carrier had {most} calls at once: {offered:?}");
        offered
    }

    /// Ends all calls, and waits until neither side has one.
    #[track_caller]
    fn clear(&self, cluster: &Cluster<'_>) {
        assert!(self.pbx.hang_up_all(SETTLED), "a BYE was not answered\n{}", cluster.logs());
        assert!(self.carrier.talks(0, SETTLED), "the carrier was not told of an end\n{}", cluster.logs());
        self.pbx.forget();
        self.carrier.forget();
    }

    /// One round: exactly ten calls come through.
    #[track_caller]
    fn round(&self, cluster: &Cluster<'_>, what: &str) -> Duration {
        let began = Instant::now();
        let offered = self.offer(&cluster.sip(), OFFERED);
        let took = began.elapsed();
        assert_eq!((offered.answered.len(), offered.open), (CHANNELS, 0), "{what}: {offered:?}\n{}", cluster.logs());
        self.clear(cluster);
        took
    }

    /// Rounds while a node is dead: never more than ten calls, and ten again within `limit`.
    #[track_caller]
    fn recover(&self, cluster: &Cluster<'_>, limit: Duration) -> Duration {
        let (began, mut last) = (Instant::now(), Offered::default());
        let whole = holds_within(limit, || {
            last = self.offer(&cluster.sip(), OFFERED);
            self.clear(cluster);
            assert!(last.answered.len() <= CHANNELS, "{last:?}");
            last.answered.len() == CHANNELS
        });
        assert!(whole, "channels are lost with the node: {last:?}\n{}", cluster.logs());
        began.elapsed()
    }
}

/// Rounds on three nodes; after every `killing` of them the next node is killed, idle and in the middle of a round, and
/// started again. The leader of the limit is among those.
fn hold(rounds: usize, killing: usize) {
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let partners = Partners::new(&lab);
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    let mut took = Vec::new();
    for number in 0..rounds {
        took.push(partners.round(&cluster, &format!("round {number}")));
        if number % killing == 1 {
            let name = &names[number / killing % names.len()];
            let (idle, busy) = die(&mut cluster, &partners, name);
            report(&format!("{name} killed: ten channels again after {idle:?} (idle), {busy:?} (in a round)"));
        }
    }
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    report(&format!(
        "{rounds} rounds of {OFFERED} calls: {CHANNELS} answered in each; all settled in {median:?}, at most {worst:?}"
    ));
}

/// Kills a node twice and starts it again; how long its channels were missing.
fn die(cluster: &mut Cluster<'_>, partners: &Partners, name: &str) -> (Duration, Duration) {
    cluster.kill(name);
    let idle = partners.recover(cluster, Duration::from_secs(10));
    cluster.restart(name);
    cluster.wait_formed();
    partners.round(cluster, &format!("{name} is back"));
    let nodes = cluster.sip();
    let calls: Vec<String> =
        nodes.iter().cycle().take(OFFERED).map(|node| partners.pbx.call(node, "4930123456")).collect();
    cluster.kill(name);
    let offered = partners.pbx.settle(calls, SETTLED);
    assert!(offered.answered.len() <= CHANNELS, "{name} dies: {offered:?}");
    // One that was taken over ends as any other.
    partners.pbx.hang_up_all(Duration::from_secs(1));
    partners.pbx.forget();
    partners.carrier.forget();
    let busy = partners.recover(cluster, Duration::from_secs(10));
    cluster.restart(name);
    cluster.wait_formed();
    (idle, busy)
}

#[test]
fn ten_channels_allow_exactly_ten_of_sixty_calls_over_three_nodes() {
    hold(9, 3);
}

#[test]
#[ignore = "a hundred rounds: make cluster"]
fn ten_channels_allow_exactly_ten_of_sixty_calls_a_hundred_times() {
    hold(100, 10);
}
