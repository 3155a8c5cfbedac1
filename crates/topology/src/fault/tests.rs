//! The plans of `cluster/faults`, and every mistake with its place.

use super::{Action, Link, Plan, Target};
use crate::bundled;

const PLAN: &str = "about = \"x\"\nends_ms = 9000\n[[step]]\nat_ms = 1000\nkill = \"leader\"\n\
                    [[step]]\nat_ms = 2000\ncut = [\"site:fra\", \"node:lon-1\"]\n\
                    [[step]]\nat_ms = 3000\nheal = \"all\"\n[[step]]\nat_ms = 4000\nrestart = \"affected\"\n";

#[test]
fn every_plan_reads_and_fits_the_three_sites() {
    let topology = bundled::three_sites().expect("valid");
    for (name, text) in bundled::FAULTS {
        let plan = Plan::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        plan.check(&topology).unwrap_or_else(|error| panic!("{error}"));
        assert!(!plan.about.is_empty(), "{name}");
    }
    assert!(bundled::fault("kill-leader").expect("valid").is_some());
    assert_eq!(bundled::fault("nothing").expect("valid"), None);
}

#[test]
fn a_plan_says_what_happens() {
    let plan = Plan::parse("p", PLAN).expect("valid");
    let said: Vec<String> = plan.steps.iter().map(|step| format!("{} {}", step.at_ms, step.action)).collect();
    assert_eq!(
        said,
        ["1000 kill leader", "2000 cut site:fra from node:lon-1", "3000 heal all", "4000 restart affected"]
    );
}

#[test]
fn targets_are_the_nodes_of_that_moment() {
    let topology = bundled::three_sites().expect("valid");
    let names = |target: Target, leader: Option<&str>, affected: &[String]| -> Vec<String> {
        target.nodes(&topology, leader, affected).into_iter().map(|node| node.name.clone()).collect()
    };
    assert_eq!(names(Target::Leader, Some("lon-1"), &[]), ["lon-1"]);
    assert!(names(Target::Leader, None, &[]).is_empty());
    assert_eq!(names(Target::Site("ams".to_owned()), None, &[]), ["ams-1"]);
    assert_eq!(names(Target::Affected, None, &["fra-1".to_owned()]), ["fra-1"]);
    assert_eq!(names(Target::All, None, &[]).len(), 3);
    let link = Link { one: Target::Site("fra".to_owned()), other: Target::Node("ams-1".to_owned()) };
    let pairs: Vec<_> = link.pairs(&topology).into_iter().map(|(a, b)| (a.name.as_str(), b.name.as_str())).collect();
    assert_eq!(pairs, [("fra-1", "ams-1")]);
}

#[test]
fn every_mistake_says_where_it_is() {
    for (from, to, said) in [
        ("kill = \"leader\"", "kill = \"boss\"", "p: step 1: kill: `boss` is nobody"),
        ("kill = \"leader\"", "kil = \"leader\"", "p:5: unknown field"),
        ("kill = \"leader\"", "kill = \"leader\"\nstop = \"all\"", "p: step 1: at_ms: two things happen"),
        ("kill = \"leader\"\n", "", "p: step 1: at_ms: nothing happens"),
        ("at_ms = 2000", "at_ms = 900", "p: step 2: at_ms: 900 ms is before"),
        ("\"node:lon-1\"]", "\"leader\"]", "p: step 2: cut: nothing can be cut"),
        ("\"node:lon-1\"]", "\"site:fra\"]", "p: step 2: cut: nothing can be cut"),
        (", \"node:lon-1\"]", "]", "p: step 2: cut: 1 ends"),
        ("ends_ms = 9000", "ends_ms = 3999", "p: ends_ms: 3999 ms is before"),
        ("restart = \"affected\"", "kill = \"all\"", "p: restart: is missing at the end"),
        ("heal = \"all\"", "heal = [\"site:ams\", \"site:fra\"]", "p: heal: is missing at the end"),
        ("heal = \"all\"", "heal = \"some\"", "p: step 3: heal: `some` is no link"),
    ] {
        assert!(PLAN.contains(from), "{from}");
        let error = Plan::parse("p", &PLAN.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.starts_with(said), "{to}: {error}");
    }
}

#[test]
fn a_plan_for_another_topology_is_refused() {
    let topology = bundled::three_sites().expect("valid");
    let plan = Plan::parse("p", &PLAN.replace("site:fra", "site:par")).expect("valid by itself");
    let error = plan.check(&topology).expect_err("no such site").to_string();
    assert!(error.contains("`site:par` is not in the topology three-sites"), "{error}");
    assert!(matches!(plan.steps[1].action, Action::Cut(_)));
}
