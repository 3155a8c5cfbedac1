//! Tables that are changed anywhere, and are the same everywhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::process::{holds_within, report, wait_until};
use tests::{Cluster, Lab};

/// A change must be in force everywhere within this.
const VISIBLE: Duration = Duration::from_secs(1);

fn account(name: &str) -> String {
    format!("[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\n")
}

/// Applies until it is taken; how long that took.
#[track_caller]
fn apply_before(cluster: &Cluster<'_>, at: &str, text: &str, limit: Duration) -> Duration {
    let (began, mut said) = (Instant::now(), String::new());
    let taken = holds_within(limit, || {
        let (status, output) = cluster.try_apply(at, text);
        said = output;
        status == Some(0)
    });
    assert!(taken, "no change was taken within {limit:?}: {said}");
    began.elapsed()
}

#[test]
fn a_change_at_any_node_is_in_force_at_all() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    for name in &names {
        let began = Instant::now();
        let revision = cluster.apply(name, &account(&format!("of-{name}")));
        cluster.wait_revision(revision, VISIBLE);
        let took = began.elapsed();
        assert!(took < VISIBLE, "a change at {name} took {took:?}");
        report(&format!("a change at {name}: in force everywhere {took:?} after the command was given"));
    }
    let exported: Vec<String> = cluster.members().iter().map(|member| member.cli(&["export"]).1).collect();
    assert!(exported.iter().all(|text| *text == exported[0]), "{exported:#?}");
    assert!(names.iter().all(|name| exported[0].contains(&format!("of-{name}"))), "{}", exported[0]);
    // Everybody has the same past, with who and when.
    let histories: Vec<_> = cluster.members().iter().map(|member| member.json(&["history"])).collect();
    assert!(histories.iter().all(|history| *history == histories[0]), "{histories:#?}");
    let revisions = histories[0]["revisions"].as_array().expect("a list");
    assert!(revisions.iter().all(|one| one["who"].is_string() && one["at"].is_string()), "{revisions:#?}");
    let (status, output) = cluster.members()[1].cli(&["rollback", "1"]);
    assert_eq!(status, Some(0), "{output}");
    cluster.wait_revision(revisions.len() as u64 + 1, VISIBLE);
    assert!(!cluster.members()[2].cli(&["export"]).1.contains(&names[2]), "the last change is taken back everywhere");
}

#[test]
fn with_its_leader_killed_the_tables_are_writable_within_three_seconds() {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let leader = cluster.leader().expect("somebody leads");
    cluster.apply(&leader, &account("before"));
    cluster.kill(&leader);
    let other = cluster.other_than(&leader).name().to_owned();
    let took = apply_before(&cluster, &other, &account("after"), Duration::from_secs(3));
    report(&format!("writable {took:?} after the death of the leader"));
    cluster.restart(&leader);
    cluster.wait_formed();
    let revision = cluster.member(&other).revision();
    cluster.wait_revision(revision, Duration::from_secs(5));
    let text = cluster.member(&leader).cli(&["export"]).1;
    assert!(text.contains("before") && text.contains("after"), "{text}");
}

/// Makes one change after the other at a node until one is not taken; the names of those that were acknowledged.
fn write_on(lab: &Lab, name: &str, url: &str, written: &AtomicUsize) -> Vec<String> {
    let mut made = Vec::new();
    loop {
        let account_name = format!("made-{}-at-{name}", made.len());
        let file = lab.write(&format!("made-at-{name}.toml"), &account(&account_name));
        let (status, _) = tests::node::run(&["apply", "-f", &file.to_string_lossy(), "--node", url]);
        if status != Some(0) {
            return made;
        }
        made.push(account_name);
        written.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_acknowledged_change_outlives_the_death_of_all() {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let nodes: Vec<(String, String)> =
        cluster.members().iter().map(|member| (member.name().to_owned(), member.node().url())).collect();
    let written = AtomicUsize::new(0);
    let made: Vec<String> = std::thread::scope(|scope| {
        let (lab, written) = (&lab, &written);
        let write = |(name, url)| scope.spawn(move || write_on(lab, name, url, written));
        let writers: Vec<_> = nodes.iter().map(|(name, url)| write((name, url))).collect();
        wait_until("changes at all nodes", Duration::from_secs(20), || written.load(Ordering::Relaxed) >= 60);
        nodes.iter().for_each(|(name, _)| cluster.kill(name));
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer ends")).collect()
    });
    cluster.start_all();
    cluster.wait_formed();
    for member in cluster.members() {
        let text = member.cli(&["export"]).1;
        for name in &made {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is lost at {}", member.name());
        }
    }
    report(&format!("{} acknowledged changes outlived the death of all in the middle of more", made.len()));
    apply_before(&cluster, &nodes[0].0, &account("and-on"), Duration::from_secs(5));
}

#[test]
fn without_a_quorum_no_change_is_taken_and_the_last_tables_stay() {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let revision = cluster.apply("fra-1", &account("last"));
    cluster.wait_revision(revision, VISIBLE);
    cluster.kill("lon-1");
    cluster.kill("ams-1");
    let (status, said) = cluster.try_apply("fra-1", &account("never"));
    assert_eq!(status, Some(1), "the input was fine: {said}");
    assert!(said.contains("quorum"), "{said}");
    let fra = cluster.member("fra-1");
    assert_eq!(fra.status().expect("it answers")["quorum"], false);
    assert_eq!(fra.cli(&["cluster", "status"]).0, Some(1), "who asks is told");
    let text = fra.cli(&["export"]).1;
    assert!(text.contains("last") && !text.contains("never"), "{text}");
    assert_eq!(fra.cli(&["route", "nobody", "44"]).0, Some(2), "it answers from its tables");
    cluster.start_all();
    cluster.wait_formed();
    apply_before(&cluster, "lon-1", &account("again"), Duration::from_secs(5));
}
