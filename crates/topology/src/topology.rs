//! A whole topology: its nodes, its tables, and that they fit each other.

use crate::{Error, Node, rewrite};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use toml::Value;

/// Where the files of nodes are, in the folder of a topology.
const NODES: &str = "nodes/";
/// The file of the tables.
const TABLES: &str = "tables.toml";

/// Nodes that make one cluster, in the order of their files.
#[derive(Clone, PartialEq, Debug)]
pub struct Topology {
    /// The name of its folder.
    pub name: String,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What is applied to them, if the topology has tables.
    pub tables: Option<Tables>,
}

/// A file of tables; what its rows mean is decided elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    /// For messages.
    pub file: String,
    /// TOML.
    pub text: String,
}

impl Topology {
    /// Reads the files of a folder: `nodes/*.toml` and, if it is there, `tables.toml`. Paths are relative to the folder;
    /// other files are refused, for a node whose file has a wrong name would be missed by nobody.
    ///
    /// # Errors
    /// The first thing that is wrong with a file, or in which two of them do not fit.
    pub fn parse<P: AsRef<str>, T: AsRef<str>>(name: &str, files: &[(P, T)]) -> Result<Self, Error> {
        let mut topology = Self { name: name.to_owned(), nodes: Vec::new(), tables: None };
        for (path, text) in files {
            let (path, text) = (path.as_ref(), text.as_ref());
            let file = format!("{name}/{path}");
            if path == TABLES {
                let _: toml::Table = toml::from_str(text).map_err(|error| Error::toml(&file, text, &error))?;
                topology.tables = Some(Tables { file, text: text.to_owned() });
            } else if path.starts_with(NODES) && path.ends_with(".toml") {
                topology.nodes.push(Node::parse(&file, text)?);
            } else {
                let mend = format!("a topology has {NODES}*.toml and {TABLES}; move it elsewhere");
                return Err(Error::clash(&file, "does not belong here", mend));
            }
        }
        topology.check()?;
        Ok(topology)
    }

    /// Reads one node.toml as a topology of one node.
    ///
    /// # Errors
    /// As [`Node::parse`], or the node joins others.
    pub fn of_node(file: &str, text: &str) -> Result<Self, Error> {
        let node = Node::parse(file, text)?;
        let topology = Self { name: node.name.clone(), nodes: vec![node], tables: None };
        topology.check()?;
        Ok(topology)
    }

    fn check(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        let mut taken: BTreeMap<(bool, SocketAddr), &str> = BTreeMap::new();
        for node in &self.nodes {
            if !names.insert(&node.name) {
                return Err(Error::clash(node.file(), format!("the name `{}` is taken", node.name), "choose another"));
            }
            for (key, address) in node.listens() {
                // UDP and TCP are two worlds of ports.
                if let Some(other) = taken.insert((key == "sip.udp", address), node.file()) {
                    let what = format!("{key} {address} is taken by {other}");
                    return Err(Error::clash(node.file(), what, "choose another address or port"));
                }
            }
            if let Some(stray) = node.join.iter().find(|join| !self.nodes.iter().any(|other| other.mesh == **join)) {
                let what = format!("cluster.join {stray} leads to no node of the topology");
                return Err(Error::clash(node.file(), what, "name the `cluster.listen` of one"));
            }
        }
        let mut founders = self.nodes.iter().filter(|node| node.join.is_empty());
        match (founders.next(), founders.next()) {
            (Some(_), None) => Ok(()),
            (None, _) => Err(Error::clash(&self.name, "no node founds the cluster", "give one of them `join = []`")),
            (Some(one), Some(two)) => {
                let what = format!("{} and {} would found a cluster each", one.name, two.name);
                Err(Error::clash(two.file(), what, format!("let it join \"{}\"", one.mesh)))
            }
        }
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The nodes of this site.
    pub fn site<'t>(&'t self, site: &str) -> impl Iterator<Item = &'t Node> {
        self.nodes.iter().filter(move |node| node.site == site)
    }

    /// The sites, in the order of their first nodes.
    #[must_use]
    pub fn sites(&self) -> Vec<&str> {
        let mut sites: Vec<&str> = Vec::new();
        for node in &self.nodes {
            if !sites.contains(&&*node.site) {
                sites.push(&node.site);
            }
        }
        sites
    }

    /// With the data of each node in a folder of its name below `folder`.
    #[must_use]
    pub fn with_data_dir(mut self, folder: &str) -> Self {
        let below = |node: Node| {
            let data_dir = format!("{}/{}", folder.trim_end_matches('/'), node.name);
            node.with_data_dir(&data_dir)
        };
        self.nodes = self.nodes.into_iter().map(below).collect();
        self
    }

    /// With every address moved, of the nodes and in the tables. Two that become one are a mistake of whoever asks.
    ///
    /// # Errors
    /// Nodes that now take each other's addresses.
    pub fn on_addresses(mut self, to: impl Fn(IpAddr) -> IpAddr) -> Result<Self, Error> {
        self.nodes = self.nodes.into_iter().map(|node| node.on_addresses(&to)).collect();
        if let Some(tables) = &mut self.tables {
            let table: toml::Table =
                toml::from_str(&tables.text).map_err(|error| Error::toml(&tables.file, &tables.text, &error))?;
            let mut value = Value::Table(table);
            rewrite::addresses(&mut value, &to);
            let Value::Table(table) = value else { unreachable!("a table stays one") };
            tables.text = table.to_string();
        }
        self.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled::{THREE_SITES, three_sites};

    fn with(path: &str, from: &str, to: &str) -> Result<Topology, Error> {
        let files = THREE_SITES.map(|(name, text)| {
            assert!(name != path || text.contains(from), "{from}");
            (name, if name == path { text.replacen(from, to, 1) } else { text.to_owned() })
        });
        Topology::parse("three-sites", &files)
    }

    #[test]
    fn the_three_sites_are_three_nodes_in_three_sites() {
        let topology = three_sites().expect("valid");
        assert_eq!(topology.sites(), ["fra", "lon", "ams"]);
        let urls: Vec<String> = topology.nodes.iter().map(Node::url).collect();
        assert_eq!(urls, ["http://127.0.0.1:8060", "http://127.0.2.1:8060", "http://127.0.3.1:8060"]);
        assert!(topology.node("fra-1").expect("there").join.is_empty());
        assert_eq!(topology.node("ams-1").expect("there").join[0], topology.node("fra-1").expect("there").mesh);
        assert!(topology.tables.is_some_and(|tables| tables.text.contains("acme-pbx")));
    }

    #[test]
    fn a_topology_moves_to_other_addresses_and_folders_as_a_whole() {
        let to = |ip: IpAddr| match ip {
            IpAddr::V4(ip) if ip.is_loopback() && ip.octets()[2] == 9 => {
                IpAddr::from([127, 77, 5, 100 + ip.octets()[3]])
            }
            IpAddr::V4(ip) => IpAddr::from([127, 77, 5, ip.octets()[2]]),
            IpAddr::V6(_) => ip,
        };
        let moved = three_sites().expect("valid").with_data_dir("/data/").on_addresses(to).expect("still fits");
        let lon = moved.node("lon-1").expect("there");
        assert_eq!((lon.data_dir.as_str(), lon.ip()), ("/data/lon-1", IpAddr::from([127, 77, 5, 2])));
        assert_eq!(lon.join, [moved.node("fra-1").expect("there").mesh]);
        // What the binary reads says the same as what we know of it.
        assert_eq!(&Node::parse(lon.file(), &lon.to_toml()).expect("valid"), lon);
        assert!(lon.to_toml().contains("ports = [20000, 23999]"), "{}", lon.to_toml());
        let tables = moved.tables.expect("there").text;
        assert!(tables.contains("127.77.5.110:5080") && !tables.contains("127.0.9."), "{tables}");
        routing::Document::parse(&[("tables.toml".into(), tables)]).expect("the rows of the operator");
        let all_in_one = three_sites().expect("valid").on_addresses(|_| IpAddr::from([127, 0, 0, 1]));
        assert!(all_in_one.expect_err("they clash").to_string().contains("is taken by"));
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let lon = "nodes/lon-1.toml";
        for (from, to, said) in [
            ("[node]", "[node", "three-sites/nodes/lon-1.toml:3:"),
            ("name = \"lon-1\"", "name = \"fra-1\"", "three-sites/nodes/lon-1.toml: the name `fra-1` is taken"),
            ("name = \"lon-1\"", "", "three-sites/nodes/lon-1.toml: node.name: is missing"),
            (
                "listen = \"127.0.2.1:7060\"",
                "listen = \"127.0.2.1\"",
                "three-sites/nodes/lon-1.toml: cluster.listen: `127.0.2.1` is no address",
            ),
            (
                "[\"127.0.1.1:7060\"]",
                "[\"127.0.1.1:7061\"]",
                "three-sites/nodes/lon-1.toml: cluster.join 127.0.1.1:7061 leads to no node",
            ),
            ("[\"127.0.1.1:7060\"]", "[]", "three-sites/nodes/lon-1.toml: fra-1 and lon-1 would found a cluster each"),
            (
                "udp = [\"127.0.2.1:5060\"]",
                "udp = [\"127.0.1.1:5060\"]",
                "three-sites/nodes/lon-1.toml: sip.udp 127.0.1.1:5060 is taken by",
            ),
        ] {
            let error = with(lon, from, to).expect_err(to).to_string();
            assert!(error.starts_with(said), "{to}: {error}");
        }
        let error = Topology::parse("t", &[("nodes/x.tml", "")]).expect_err("a wrong name").to_string();
        assert!(error.starts_with("t/nodes/x.tml: does not belong here"), "{error}");
    }

    #[test]
    fn the_node_of_the_readme_is_a_topology_of_one() {
        let text = include_str!("../../../cluster/local.toml");
        let topology = Topology::of_node("local.toml", text).expect("valid");
        assert_eq!(topology.sites(), ["local"]);
    }
}
