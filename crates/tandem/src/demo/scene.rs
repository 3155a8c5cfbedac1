//! What is to be seen at one moment, put together from what each node says: each knows itself best.

use console::api::{Cluster, Member, Trunk};
use load::Snapshot;
use std::time::Duration;

/// What one node says; nothing while it does not answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// The cluster as it sees it.
    pub cluster: Option<Cluster>,
    /// Its trunks.
    pub trunks: Vec<Trunk>,
}

/// One moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Scene {
    /// Since the first call.
    pub elapsed: Duration,
    /// The sites, in the order of the topology.
    pub sites: Vec<Site>,
    /// The trunks over the whole cluster, by name.
    pub trunks: Vec<TrunkLine>,
    /// Who leads, as most of the nodes have it.
    pub leader: Option<String>,
    /// The highest term and revision that a node has seen.
    pub term: u64,
    /// The revision of the tables.
    pub revision: u64,
    /// The calls of everyday.
    pub usual: Snapshot,
    /// Those that call the small carrier at once, once they do.
    pub burst: Option<Snapshot>,
    /// The site that was killed, once it was.
    pub death: Option<Death>,
}

/// The death of a site.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Death {
    /// Its node.
    pub node: String,
    /// The calls that it carried.
    pub calls: u64,
    /// Since the first call.
    pub at: Duration,
}

/// A node and its site.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Site {
    /// The site.
    pub site: String,
    /// The node.
    pub node: String,
    /// `up`, `draining`, `down`, `fenced`; `silent` if nobody knows.
    pub state: String,
    /// `leader`, `voter`, `learner`, `witness`.
    pub role: String,
    /// Calls with audio: not those that only wait for late repeats of their last messages.
    pub calls: u64,
    /// Legs with audio on its relay.
    pub legs: u64,
    /// Shards that it acts for.
    pub shards: u16,
    /// What is left of its lease.
    pub lease_ms: Option<u64>,
}

/// A trunk over the whole cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct TrunkLine {
    /// Its name.
    pub name: String,
    /// Channels in use.
    pub used: u64,
    /// Its limit.
    pub limit: Option<u64>,
    /// Channels in use by node.
    pub by_node: Vec<(String, u64)>,
}

impl Scene {
    /// From the answers of the nodes, which come in the order of `names` (site and node).
    pub(super) fn of(
        names: &[(String, String)],
        answers: &[Answers],
        elapsed: Duration,
        usual: Snapshot,
        burst: Option<Snapshot>,
        death: Option<Death>,
    ) -> Self {
        let clusters: Vec<&Cluster> = answers.iter().filter_map(|answer| answer.cluster.as_ref()).collect();
        Self {
            elapsed,
            sites: names.iter().map(|(site, node)| of_site(site, node, &clusters)).collect(),
            trunks: of_trunks(names, answers),
            leader: most(clusters.iter().filter_map(|cluster| cluster.leader.as_deref())),
            term: clusters.iter().map(|cluster| cluster.term).max().unwrap_or(0),
            revision: clusters.iter().map(|cluster| cluster.revision).max().unwrap_or(0),
            usual,
            burst,
            death,
        }
    }
}

/// The node's own word where it answers; else what another says of it.
fn of_site(site: &str, node: &str, clusters: &[&Cluster]) -> Site {
    let member = |cluster: &&&Cluster| cluster.nodes.iter().any(|member| member.name == node);
    let own = clusters.iter().find(|cluster| cluster.me == node);
    let from = own.or_else(|| clusters.iter().find(member));
    let named = (site.to_owned(), node.to_owned());
    let Some(Member { state, role, shards_owned, lease_remaining_ms, calls, relay_sessions, .. }) =
        from.and_then(|cluster| cluster.nodes.iter().find(|member| member.name == node))
    else {
        return Site { site: named.0, node: named.1, state: "silent".to_owned(), ..Site::default() };
    };
    Site {
        site: named.0,
        node: named.1,
        state: state.clone(),
        role: role.clone(),
        calls: relay_sessions.or(*calls).unwrap_or(0),
        legs: relay_sessions.unwrap_or(0) * 2,
        shards: *shards_owned,
        lease_ms: *lease_remaining_ms,
    }
}

/// Each node is asked for what it uses itself, so that nothing is counted twice however much it knows of the others.
fn of_trunks(names: &[(String, String)], answers: &[Answers]) -> Vec<TrunkLine> {
    let mut lines: Vec<TrunkLine> = Vec::new();
    for ((_, node), answer) in names.iter().zip(answers) {
        for trunk in &answer.trunks {
            let used = trunk.nodes.iter().find(|share| share.node == *node).map_or(0, |share| share.channels_used);
            let at = lines.iter().position(|line| line.name == trunk.name).unwrap_or_else(|| {
                lines.push(TrunkLine { name: trunk.name.clone(), ..TrunkLine::default() });
                lines.len() - 1
            });
            let line = &mut lines[at];
            line.used += u64::from(used);
            line.limit = trunk.channels_limit.map(u64::from);
            line.by_node.push((node.clone(), u64::from(used)));
        }
    }
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    lines
}

fn most<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let words: Vec<&str> = words.collect();
    let count = |word: &str| words.iter().filter(|other| **other == word).count();
    words.iter().max_by_key(|word| count(word)).map(|word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::api::Share;

    fn names() -> Vec<(String, String)> {
        ["fra", "lon", "ams"].map(|site| (site.to_owned(), format!("{site}-1"))).to_vec()
    }

    fn cluster(me: &str, calls: &[(&str, u64)]) -> Cluster {
        let member = |(name, calls): &(&str, u64)| Member {
            name: (*name).to_owned(),
            state: "up".to_owned(),
            calls: Some(*calls),
            relay_sessions: Some(*calls),
            ..Member::default()
        };
        let nodes = calls.iter().map(member).collect();
        Cluster { me: me.to_owned(), leader: Some("fra-1".to_owned()), nodes, ..Cluster::default() }
    }

    fn trunk(name: &str, used: &[(&str, u32)]) -> Trunk {
        let share =
            |(node, used): &(&str, u32)| Share { node: (*node).to_owned(), channels_used: *used, ..Share::default() };
        Trunk {
            name: name.to_owned(),
            channels_limit: Some(10),
            nodes: used.iter().map(share).collect(),
            ..Trunk::default()
        }
    }

    #[test]
    fn each_node_is_believed_about_itself_and_the_others_about_one_that_is_silent() {
        let fra = cluster("fra-1", &[("fra-1", 5), ("lon-1", 9), ("ams-1", 2)]);
        let lon = cluster("lon-1", &[("fra-1", 0), ("lon-1", 7)]);
        let answers = [Some(fra), Some(lon), None].map(|cluster| Answers { cluster, trunks: vec![] });
        let scene = Scene::of(&names(), &answers, Duration::ZERO, Snapshot::default(), None, None);
        let seen: Vec<_> = scene.sites.iter().map(|site| (&*site.node, &*site.state, site.calls, site.legs)).collect();
        assert_eq!(seen, [("fra-1", "up", 5, 10), ("lon-1", "up", 7, 14), ("ams-1", "up", 2, 4)]);
        assert_eq!(scene.leader.as_deref(), Some("fra-1"));
        let nothing = Scene::of(&names(), &[], Duration::ZERO, Snapshot::default(), None, None);
        assert!(nothing.sites.iter().all(|site| site.state == "silent"));
    }

    #[test]
    fn channels_are_summed_over_the_nodes_however_much_each_knows() {
        let all = [("fra-1", 4), ("lon-1", 3), ("ams-1", 3)];
        let answer = |trunks| Answers { cluster: None, trunks };
        let answers = [
            answer(vec![trunk("beta", &all), trunk("alpha", &[("fra-1", 1)])]),
            answer(vec![trunk("beta", &all)]),
            answer(vec![trunk("beta", &all)]),
        ];
        let scene = Scene::of(&names(), &answers, Duration::ZERO, Snapshot::default(), None, None);
        let lines: Vec<_> = scene.trunks.iter().map(|line| (&*line.name, line.used, line.limit)).collect();
        assert_eq!(lines, [("alpha", 1, Some(10)), ("beta", 10, Some(10))]);
        assert_eq!(scene.trunks[1].by_node[2], ("ams-1".to_owned(), 3));
    }
}
