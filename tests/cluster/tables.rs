//! Tables that are changed anywhere, and are the same everywhere.

use std::time::{Duration, Instant};

use tests::process::holds_within;
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
        let revision = cluster.apply(name, &account(&format!("of-{name}")));
        cluster.wait_revision(revision, VISIBLE);
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
    apply_before(&cluster, &other, &account("after"), Duration::from_secs(3));
    cluster.restart(&leader);
    cluster.wait_formed();
    let revision = cluster.member(&other).revision();
    cluster.wait_revision(revision, Duration::from_secs(5));
    let text = cluster.member(&leader).cli(&["export"]).1;
    assert!(text.contains("before") && text.contains("after"), "{text}");
}

#[test]
fn every_acknowledged_change_outlives_the_death_of_all() {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let names: Vec<String> = cluster.members().iter().map(|member| member.name().to_owned()).collect();
    let made: Vec<String> = (0..30).map(|index| format!("made-{index}")).collect();
    for (name, at) in made.iter().zip(names.iter().cycle()) {
        cluster.apply(at, &account(name));
    }
    names.iter().for_each(|name| cluster.kill(name));
    cluster.start_all();
    cluster.wait_formed();
    for member in cluster.members() {
        let text = member.cli(&["export"]).1;
        for name in &made {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is lost at {}", member.name());
        }
    }
    apply_before(&cluster, &names[0], &account("and-on"), Duration::from_secs(5));
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
