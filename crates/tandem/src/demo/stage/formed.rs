//! When processes have become a cluster.

use console::api::Cluster;
use topology::Topology;

/// Shards of a cluster.
const SHARDS: u32 = routing::cluster::SHARDS as u32;
/// A share of the shards may differ from the fair one by so much, in percent.
const UNEVEN: u32 = 10;

/// What is still missing until the nodes are one cluster, by what each of them says; nothing if they are.
pub(super) fn missing(topology: &Topology, clusters: &[Option<Cluster>]) -> Option<String> {
    let mut ids = clusters.iter().flatten().map(|cluster| &cluster.id);
    let first = ids.next();
    for (node, cluster) in topology.nodes.iter().zip(clusters) {
        let name = &node.name;
        let Some(cluster) = cluster else { return Some(format!("{name} does not answer")) };
        let up = cluster.nodes.iter().filter(|member| member.state == "up").count();
        let of = topology.nodes.len();
        if up < of {
            return Some(format!("{name} sees {up} of {of} nodes"));
        }
        if !cluster.quorum {
            return Some(format!("{name} knows of no quorum"));
        }
        if Some(&cluster.id) != first {
            return Some(format!("{name} is in a cluster of its own"));
        }
        if let Some(uneven) = uneven(topology, cluster) {
            return Some(format!("{name} sees {uneven}"));
        }
    }
    None
}

/// A node that carries calls and has not its share of the shards.
fn uneven(topology: &Topology, cluster: &Cluster) -> Option<String> {
    let carries = topology.nodes.iter().filter(|node| !node.witness);
    let fair = SHARDS / u32::try_from(carries.clone().count()).ok()?.max(1);
    for node in carries {
        let member = cluster.nodes.iter().find(|member| member.name == node.name);
        let owned = member.map_or(0, |member| u32::from(member.shards_owned));
        if owned.abs_diff(fair) * 100 > fair * UNEVEN {
            return Some(format!("{} with {owned} shards, where {fair} are its share", node.name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::api::Member;

    fn seen(shards: [u16; 3]) -> Cluster {
        let member = |(name, shards_owned): (&str, u16)| Member {
            name: name.to_owned(),
            state: "up".to_owned(),
            shards_owned,
            ..Member::default()
        };
        let nodes = ["fra-1", "lon-1", "ams-1"].into_iter().zip(shards).map(member).collect();
        Cluster { id: "one".to_owned(), quorum: true, nodes, ..Cluster::default() }
    }

    #[test]
    fn a_cluster_stands_when_every_node_says_so() {
        let topology = topology::bundled::three_sites().expect("valid");
        let of = |change: &dyn Fn(&mut Cluster)| {
            let mut clusters = [(); 3].map(|()| Some(seen([342, 341, 341])));
            clusters[1].iter_mut().for_each(change);
            missing(&topology, &clusters)
        };
        assert_eq!(of(&|_| {}), None);
        assert_eq!(of(&|cluster| cluster.quorum = false).as_deref(), Some("lon-1 knows of no quorum"));
        assert_eq!(of(&|cluster| cluster.id = "two".into()).as_deref(), Some("lon-1 is in a cluster of its own"));
        assert_eq!(of(&|cluster| cluster.nodes[2].state = "down".into()).as_deref(), Some("lon-1 sees 2 of 3 nodes"));
        assert_eq!(of(&|cluster| drop(cluster.nodes.pop())).as_deref(), Some("lon-1 sees 2 of 3 nodes"));
        let spread = of(&|cluster| *cluster = seen([1024, 0, 0])).expect("not spread");
        assert_eq!(spread, "lon-1 sees fra-1 with 1024 shards, where 341 are its share");
        let silent = missing(&topology, &[Some(seen([342, 341, 341])), None, None]);
        assert_eq!(silent.as_deref(), Some("lon-1 does not answer"));
    }
}
