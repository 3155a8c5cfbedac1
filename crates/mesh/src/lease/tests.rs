use super::{Answer, Denial, Effect, Grantor, Holder, Input};
use crate::testing::{at, founded, make, member};
use routing::cluster::{Cluster, ClusterChange};

fn effects(holder: &mut Holder) -> Vec<Effect> {
    std::iter::from_fn(|| holder.poll_effect()).collect()
}

/// A node 2 that joined, with the leader 1 and this view.
fn joined(cluster: &Cluster) -> Holder {
    let mut holder = Holder::new(2, Some(1), at(0));
    holder.handle_input(at(0), Input::Cluster(cluster));
    holder.handle_input(at(0), Input::Leader(Some(1)));
    assert_eq!(effects(&mut holder), [Effect::Renew { to: 1, stamp: at(0), incarnation: 1 }]);
    holder
}

fn granted(stamp: u64, version: u64) -> Input<'static> {
    Input::Granted { stamp: at(stamp), incarnation: 1, version }
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    let cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    assert!(!holder.holds(at(0)));
    holder.handle_input(at(150), granted(0, cluster.version));
    assert_eq!(effects(&mut holder), [Effect::Held(true)]);
    assert!(holder.holds(at(999)) && !holder.holds(at(1000)));
    assert_eq!(holder.remaining(at(400)).as_millis(), 600);
    holder.handle_timeout(at(200));
    assert_eq!(effects(&mut holder), [Effect::Renew { to: 1, stamp: at(200), incarnation: 1 }]);
    // A grant that was overtaken takes nothing away, and one of the future gives nothing.
    holder.handle_input(at(400), granted(200, cluster.version));
    holder.handle_input(at(410), granted(100, cluster.version));
    holder.handle_input(at(420), granted(900, cluster.version));
    assert!(holder.holds(at(1199)) && !holder.holds(at(1200)));
}

#[test]
fn a_process_that_slept_wakes_without_its_lease() {
    let cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    holder.handle_input(at(10), granted(0, cluster.version));
    effects(&mut holder);
    assert!(!holder.holds(at(10_000)));
    holder.handle_timeout(at(10_000));
    let renewal = Effect::Renew { to: 1, stamp: at(10_000), incarnation: 1 };
    assert_eq!(effects(&mut holder), [renewal, Effect::Held(false)]);
    // What had waited in the socket is as old as its question.
    holder.handle_input(at(10_001), granted(200, cluster.version));
    assert!(!holder.holds(at(10_001)));
}

#[test]
fn a_grant_for_a_newer_cluster_counts_once_we_see_it() {
    let mut cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    holder.handle_input(at(50), granted(0, cluster.version + 1));
    assert!(!holder.holds(at(50)), "it may have lost shards that it does not know of");
    make(&mut cluster, &ClusterChange::Drain { node: 1, draining: true });
    holder.handle_input(at(60), Input::Cluster(&cluster));
    assert!(holder.holds(at(60)));
}

#[test]
fn who_is_fenced_starts_again() {
    let mut cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    holder.handle_input(at(10), granted(0, cluster.version));
    effects(&mut holder);
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 1 });
    holder.handle_input(at(20), Input::Cluster(&cluster));
    assert_eq!(effects(&mut holder), [Effect::Start, Effect::Held(false)]);
    assert!(!holder.holds(at(20)));
    holder.handle_input(at(30), Input::StartFailed);
    assert_eq!(effects(&mut holder), []);
    holder.handle_timeout(at(330));
    assert_eq!(effects(&mut holder), [Effect::Start]);
    holder.handle_input(at(400), Input::Started(2));
    assert_eq!(effects(&mut holder), [Effect::Renew { to: 1, stamp: at(400), incarnation: 2 }]);
    // Our view still shows the former life; a grant for it is none for this one.
    holder.handle_input(at(410), Input::Cluster(&cluster));
    holder.handle_input(at(420), granted(400, cluster.version));
    assert!(!holder.holds(at(420)) && holder.incarnation() == 2);
}

#[test]
fn who_was_overtaken_by_a_start_of_its_own_starts_again_and_who_was_removed_stops() {
    let mut cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    make(&mut cluster, &ClusterChange::Start(member(2, "b")));
    holder.handle_input(at(20), Input::Cluster(&cluster));
    assert_eq!(effects(&mut holder), [Effect::Start]);
    holder.handle_input(at(30), Input::Started(2));
    holder.handle_input(at(30), Input::Cluster(&cluster));
    effects(&mut holder);
    make(&mut cluster, &ClusterChange::Remove(2));
    holder.handle_input(at(40), Input::Cluster(&cluster));
    assert_eq!(effects(&mut holder), [Effect::Expelled]);
    assert_eq!(holder.poll_timeout(), None);
}

#[test]
fn a_new_process_starts_first_and_again_if_nothing_is_heard_of_it() {
    let cluster = founded(&["a"]);
    let mut holder = Holder::new(1, None, at(0));
    holder.handle_input(at(0), Input::Cluster(&cluster));
    assert_eq!(effects(&mut holder), [Effect::Start]);
    holder.handle_timeout(at(4999));
    assert_eq!(effects(&mut holder), []);
    holder.handle_timeout(at(5000));
    assert_eq!(effects(&mut holder), [Effect::Start]);
    holder.handle_input(at(5001), Input::Refused);
    assert_eq!(effects(&mut holder), [Effect::Expelled]);
}

#[test]
fn who_is_not_known_and_has_no_lease_begins_anew_and_learns_why() {
    let cluster = founded(&["a", "b"]);
    let mut holder = joined(&cluster);
    holder.handle_input(at(10), granted(0, cluster.version));
    effects(&mut holder);
    holder.handle_input(at(500), Input::Disowned);
    assert!(holder.holds(at(500)), "the view of the other is old");
    effects(&mut holder);
    holder.handle_input(at(5_000), Input::Disowned);
    assert_eq!(effects(&mut holder), [Effect::Start, Effect::Held(false)]);
    holder.handle_input(at(5_100), Input::Refused);
    assert_eq!(effects(&mut holder), [Effect::Expelled]);
    // One that has just joined is not known everywhere.
    let mut young = Holder::new(2, Some(1), at(0));
    young.handle_input(at(0), Input::Disowned);
    assert_eq!(effects(&mut young), []);
}

#[test]
fn a_fence_waits_until_the_lease_and_its_margin_are_over() {
    let cluster = founded(&["a", "b"]);
    let mut grantor = Grantor::default();
    assert_eq!(grantor.renew(at(0), &cluster, 2, 1), Answer::Refused(Denial::NotLeading));
    assert!(!grantor.may_fence(2, at(9000)));
    grantor.lead(at(0), 1, None);
    assert!(!grantor.may_fence(2, at(1199)) && grantor.may_fence(2, at(1200)), "what the former leader granted");
    assert_eq!(grantor.renew(at(5000), &cluster, 2, 1), Answer::Granted { version: cluster.version });
    assert!(!grantor.may_fence(2, at(6199)) && grantor.may_fence(2, at(6200)));
    grantor.keep(at(6199), &cluster);
    assert!(!grantor.may_fence(2, at(6199)));
    grantor.resign();
    assert!(!grantor.may_fence(2, at(9000)));
}

#[test]
fn who_is_being_fenced_or_unknown_gets_no_lease() {
    let mut cluster = founded(&["a", "b"]);
    let mut grantor = Grantor::default();
    grantor.lead(at(0), 1, None);
    let ask = |grantor: &mut Grantor, cluster: &Cluster, node, incarnation| match grantor.renew(
        at(10),
        cluster,
        node,
        incarnation,
    ) {
        Answer::Granted { .. } => None,
        Answer::Refused(denial) => Some(denial),
    };
    assert_eq!(ask(&mut grantor, &cluster, 9, 1), Some(Denial::Unknown));
    assert_eq!(ask(&mut grantor, &cluster, 2, 2), Some(Denial::Incarnation));
    grantor.condemn(2, 1);
    assert_eq!(ask(&mut grantor, &cluster, 2, 1), Some(Denial::Fenced), "the fence may be in the log already");
    grantor.resign();
    grantor.lead(at(5), 1, None);
    assert_eq!(ask(&mut grantor, &cluster, 2, 1), Some(Denial::Fenced), "in the same term it still may");
    grantor.lead(at(5), 2, None);
    assert_eq!(ask(&mut grantor, &cluster, 2, 1), None, "in the next it is not");
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 1 });
    assert_eq!(ask(&mut grantor, &cluster, 2, 1), Some(Denial::Fenced));
    make(&mut cluster, &ClusterChange::Start(member(2, "b")));
    assert_eq!(ask(&mut grantor, &cluster, 2, 2), None);
}

#[test]
fn the_lease_that_a_former_leader_gave_itself_is_over_when_another_leads() {
    let cluster = founded(&["a", "b", "c"]);
    let mut grantor = Grantor::default();
    grantor.lead(at(5000), 2, Some(1));
    assert!(grantor.may_fence(1, at(5000)));
    assert!(!grantor.may_fence(3, at(6199)), "what it granted to others may last");
    assert_eq!(grantor.renew(at(5100), &cluster, 1, 1), Answer::Granted { version: cluster.version });
    assert!(!grantor.may_fence(1, at(6299)) && grantor.may_fence(1, at(6300)), "it lives, and has a new one");
    grantor.lead(at(9000), 2, None);
    assert!(!grantor.may_fence(1, at(10_199)), "having slept it knows nothing of that any more");
}
