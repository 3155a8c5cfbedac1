//! A phone that registers anywhere is called from everywhere, and outlives the node that keeps it.

use std::time::{Duration, Instant};

use tests::cluster::{Links, PBX, row};
use tests::process::{holds_within, report, wait_until};
use tests::{Agent, Cluster, Lab};
use topology::{Link, Target};

const WAIT: Duration = Duration::from_secs(4);
/// The phone's host number, and its number of the tables.
const PHONE: u8 = 130;
const NUMBER: &str = "442071230001";
/// A dead owner is noticed within a second, fenced within another, and its shards move at once.
const BACK: Duration = Duration::from_secs(6);

/// The node that keeps the phone's registration.
#[track_caller]
fn owner(cluster: &Cluster<'_>) -> String {
    let mut owner = None;
    wait_until("a node that lists the registration as its own", WAIT, || {
        let listings = cluster.members().iter().map(|member| (member, member.json(&["registrations"])));
        owner = listings.filter_map(|(_, listing)| Some(row(&listing, "alice")?["node"].as_str()?.to_owned())).next();
        owner.is_some()
    });
    owner.expect("it was found")
}

/// Calls the phone through a node once; whether it answered.
fn rings(pbx: &Agent, phone: &Agent, node: &str) -> Result<(), u16> {
    pbx.dial(node, NUMBER, WAIT)?;
    let rang = phone.talks(1, WAIT);
    assert!(pbx.hang_up_all(WAIT) && phone.talks(0, WAIT), "the call ends on both sides");
    if rang { Ok(()) } else { Err(0) }
}

#[track_caller]
fn is_called_through_all(cluster: &Cluster<'_>, pbx: &Agent, phone: &Agent) {
    for node in cluster.sip() {
        let rang = rings(pbx, phone, &node);
        assert_eq!(rang, Ok(()), "called through {node}\n{}", cluster.logs());
    }
}

/// Registers at a node that is the owner of the registration, or at one that is not, and kills the owner.
fn outlives(at_owner: bool) {
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let (pbx, phone) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, PHONE, 5060));
    let register =
        |cluster: &Cluster<'_>, node: &str| phone.register(&cluster.member(node).sip(), "alice", "alice-secret");
    assert_eq!(phone.register(&cluster.member("lon-1").sip(), "alice", "wrong"), 403, "of a wrong password");
    assert_eq!(register(&cluster, "lon-1"), 200);
    is_called_through_all(&cluster, &pbx, &phone);
    let owner = owner(&cluster);
    let edge = if at_owner { owner.clone() } else { cluster.other_than(&owner).name().to_owned() };
    assert_eq!(register(&cluster, &edge), 200);
    is_called_through_all(&cluster, &pbx, &phone);
    cluster.kill(&owner);
    let began = Instant::now();
    for node in cluster.sip() {
        let mut last = Err(0);
        let rang = holds_within(BACK, || {
            last = rings(&pbx, &phone, &node);
            last == Ok(())
        });
        assert!(rang, "called through {node} after {owner}, the owner, was killed: {last:?}\n{}", cluster.logs());
    }
    report(&format!(
        "registered at {edge}, kept by {owner}: called through both others {:?} after its death",
        began.elapsed()
    ));
    wait_until("it registers anew", BACK, || register(&cluster, cluster.other_than(&owner).name()) == 200);
    cluster.restart(&owner);
    cluster.wait_formed();
    is_called_through_all(&cluster, &pbx, &phone);
}

#[test]
fn a_phone_is_called_through_every_site_and_outlives_the_node_that_keeps_and_reaches_it() {
    outlives(true);
}

#[test]
fn a_phone_is_called_through_every_site_and_outlives_the_node_that_only_keeps_it() {
    outlives(false);
}

#[test]
fn a_node_that_is_started_again_at_once_has_its_registrations_back() {
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let (pbx, phone) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, PHONE, 5060));
    assert_eq!(phone.register(&cluster.member("lon-1").sip(), "alice", "alice-secret"), 200);
    let owner = owner(&cluster);
    // Too quick for its shards to be moved: what it held in memory is with the backup alone.
    cluster.kill(&owner);
    cluster.restart(&owner);
    let began = Instant::now();
    for node in cluster.sip() {
        let rang = holds_within(BACK, || rings(&pbx, &phone, &node) == Ok(()));
        assert!(rang, "called through {node} after {owner}, the owner, was started again\n{}", cluster.logs());
    }
    report(&format!("called through all {:?} after the owner answered again", began.elapsed()));
}

#[test]
fn a_backup_that_could_not_be_reached_hears_later_who_has_registered() {
    if !Links::can_be_cut() {
        return report("links cannot be cut here (that takes root and nft): not tried");
    }
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let (pbx, first, phone) =
        (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, PHONE, 5060), Agent::bind(&lab, PHONE + 1, 5060));
    assert_eq!(first.register(&cluster.member("lon-1").sip(), "alice", "alice-secret"), 200);
    let owner = owner(&cluster);
    let held = |name: &str| cluster.member(name).metric("tandem_registrations", "");
    let others = cluster.members().iter().map(|member| member.name().to_owned()).filter(|name| *name != owner);
    let (backup, third): (Vec<String>, Vec<String>) = others.partition(|name| held(name) > 0.0);
    let ([backup], [third]) = (&backup[..], &third[..]) else {
        panic!("one node backs it up: {backup:?} and not {third:?}")
    };
    let lacking = |cluster: &Cluster<'_>| cluster.member(&owner).metric("tandem_registrations_lacking", "");

    let link = Link { one: Target::Node(owner.clone()), other: Target::Node(backup.clone()) };
    cluster.set_cut(&link, true);
    assert_eq!(phone.register(&cluster.member(third).sip(), "alice", "alice-secret"), 200, "it does not wait for ever");
    assert!(lacking(&cluster) > 0.0, "the backup has heard of it through a link that is cut");
    cluster.set_cut(&link, false);
    wait_until("the backup has heard of it", BACK, || lacking(&cluster) == 0.0);

    cluster.kill(&owner);
    // The first phone has gone without a word.
    drop(first);
    let node = cluster.member(third).sip();
    let rang = holds_within(BACK, || rings(&pbx, &phone, &node) == Ok(()));
    assert!(rang, "called through {third} after {owner}, the owner, was killed\n{}", cluster.logs());
}
