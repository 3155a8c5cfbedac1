//! Nodes that do not belong: each is refused with the reason and status 2, and harms nobody.

use std::net::SocketAddr;
use std::path::Path;

use tests::cluster::Member;
use tests::{Cluster, Lab};
use topology::{Node, Topology};

/// The host number of a node that is in no topology.
const STRANGER: u8 = 240;

/// A node like `like`, on an address and a folder of its own.
pub(crate) fn stranger(lab: &Lab, cluster: &Cluster<'_>, like: &str, name: &str) -> Member {
    Member::named(lab, stranger_node(lab, cluster, like, name), "stranger")
}

fn stranger_node(lab: &Lab, cluster: &Cluster<'_>, like: &str, name: &str) -> Node {
    let node = cluster.member(like).node().clone();
    let (from, to) = (node.ip(), lab.host(STRANGER));
    let join = [cluster.members()[0].node().mesh.to_string()];
    let node = node.on_addresses(&|ip| if ip == from { to } else { ip });
    let node = node.with_data_dir(&lab.path("stranger").to_string_lossy()).with_http(SocketAddr::new(to, 8060));
    let node = node.with("cluster", "join", join.to_vec().into()).expect("addresses");
    node.with("node", "name", name.into()).expect("a name")
}

/// The cluster does not take it, whatever it tries: status 2.
#[track_caller]
fn is_refused(cluster: &Cluster<'_>, node: Member, reasons: &[&str]) {
    ends(2, cluster, node, reasons);
}

/// It ends with this status and one line that holds each of `reasons`; the cluster stands as before.
#[track_caller]
fn ends(code: i32, cluster: &Cluster<'_>, mut node: Member, reasons: &[&str]) {
    node.start();
    let (status, said) = node.wait_end();
    assert_eq!(status.code(), Some(code), "{said}");
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("tandem: ")).collect();
    let [reason] = &last[..] else { panic!("one line says why: {said}") };
    for expected in reasons {
        assert!(reason.contains(expected), "no `{expected}` in: {reason}");
    }
    cluster.wait_formed();
}

#[test]
fn a_name_that_is_taken() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    is_refused(&cluster, stranger(&lab, &cluster, "lon-1", "lon-1"), &["the name lon-1 belongs to another node"]);
}

#[test]
fn the_data_folder_of_another_node_and_a_broken_one() {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let folder = cluster.member("ams-1").node().data_dir.clone();
    let with_folder = |name: &str| {
        let node = stranger_node(&lab, &cluster, "lon-1", name).with_data_dir(&folder);
        Member::named(&lab, node, "stranger")
    };
    // That one may be about to end, so the next start may succeed.
    ends(1, &cluster, with_folder("ams-1"), &["another node is running on it"]);
    let mut foreign = with_folder("lon-2");
    cluster.kill("ams-1");
    foreign.start();
    let (status, said) = foreign.wait_end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("belongs to node ams-1, not to lon-2"), "{said}");
    // What is not the database that it was is not opened, and nothing is made anew in its place.
    let current = Path::new(&folder).join("tables/db/CURRENT");
    let whole = std::fs::read(&current).expect("a database names its manifest");
    std::fs::write(&current, b"garbage").expect("writable");
    cluster.start("ams-1");
    let (status, said) = cluster.wait_end("ams-1");
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("tandem: tables: "), "{said}");
    std::fs::write(&current, whole).expect("writable");
    cluster.restart("ams-1");
    cluster.wait_formed();
}

#[test]
fn the_data_folder_of_another_cluster() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let node = stranger_node(&lab, &cluster, "lon-1", "lon-2");
    let alone = node.clone().with("cluster", "join", Vec::<String>::new().into()).expect("no address");
    let mut founder = Member::named(&lab, alone, "stranger");
    founder.start();
    founder.wait_ready();
    founder.stop();
    let id = cluster.members()[0].status().expect("it answers")["id"].as_str().expect("text").to_owned();
    is_refused(&cluster, Member::named(&lab, node, "stranger"), &["is of cluster", &id]);
}

/// The certificates that `tandem cluster certs` has made for a node, in its file.
fn certified(lab: &Lab, node: Node, folder: &str, name: &str) -> Node {
    let path = |file: String| lab.path(&format!("{folder}/{file}")).to_string_lossy().into_owned();
    let files = [("ca", "ca.pem".to_owned()), ("cert", format!("{name}.pem")), ("key", format!("{name}.key"))];
    let table: toml::Table = files.into_iter().map(|(key, file)| (key.to_owned(), path(file).into())).collect();
    node.with("cluster", "tls", table.into()).expect("files")
}

#[test]
fn a_certificate_of_another_authority_and_one_for_another_name() {
    let lab = Lab::shared();
    let names = ["fra-1", "lon-1", "ams-1", "lon-2"];
    for folder in ["certs", "foreign"] {
        let out = lab.path(folder).to_string_lossy().into_owned();
        let (status, said) = tests::node::run(&[&["cluster", "certs", "--out", &out], &names[..]].concat());
        assert_eq!(status, Some(0), "{said}");
    }
    let mut topology: Topology = topology::bundled::three_sites().expect("valid");
    topology.nodes = topology
        .nodes
        .into_iter()
        .map(|node| {
            let name = node.name.clone();
            certified(&lab, node, "certs", &name)
        })
        .collect();
    let mut cluster = Cluster::new(&lab, topology);
    cluster.start_all();
    cluster.wait_formed();
    let node = |name: &str, folder: &str, certified_as: &str| {
        let node = stranger_node(&lab, &cluster, "lon-1", name);
        Member::named(&lab, certified(&lab, node, folder, certified_as), &format!("stranger-{folder}-{certified_as}"))
    };
    is_refused(&cluster, node("lon-2", "foreign", "lon-2"), &["certificate", "of another authority"]);
    is_refused(&cluster, node("lon-2", "certs", "ams-1"), &["ams-1", "lon-2"]);
    let mut right = node("lon-2", "certs", "lon-2");
    right.start();
    right.wait_ready();
}
