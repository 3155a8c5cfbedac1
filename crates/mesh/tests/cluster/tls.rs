//! Mutual TLS between real nodes: the right certificates form a cluster, any other is refused with its reason.

use crate::lab::{Lab, Node};
use mesh::certs::{Subject, make};
use mesh::{Error, Files, Mesh, Options};
use std::path::Path;
use std::sync::Arc;
use tables::Storage;

fn subjects(names: &[&str]) -> Vec<Subject> {
    names.iter().map(|name| Subject { name: (*name).to_owned(), hosts: Vec::new() }).collect()
}

fn files(ca: &Path, own: &Path, name: &str) -> Option<Files> {
    let (cert, key) = (own.join(format!("{name}.pem")), own.join(format!("{name}.key")));
    Some(Files { ca: ca.join("ca.pem"), cert, key })
}

fn with_tls(lab: &Lab, dir: &Path, site: &str, number: u16) -> Options {
    let mut options = lab.options(site, number);
    options.tls = files(dir, dir, &options.name);
    options
}

#[tokio::test(start_paused = true)]
async fn nodes_with_certificates_of_one_authority_form_a_cluster() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    make(dir.path(), &subjects(&["fra-1", "lon-2"])).expect("makes");
    let first = lab.start(with_tls(&lab, dir.path(), "fra", 1), Storage::Memory).await;
    first.entered().await.expect("founds");
    let mut options = with_tls(&lab, dir.path(), "lon", 2);
    options.join = vec![first.address.clone()];
    let second = lab.start(options, Storage::Memory).await;
    second.entered().await.expect("joins");
    for node in [&first, &second] {
        node.sees("the other", |node| node.handle.peers().iter().any(|peer| peer.is_up() && peer.linked)).await;
        node.sees("its lease", Node::leased).await;
    }
}

/// What a node is told that asks a member whose authority it shares or not.
async fn refused(lab: &Lab, options: Options) -> String {
    let node = lab.start(options, Storage::Memory).await;
    let error = node.entered().await.expect_err("refused").to_string();
    node.stop().await;
    error
}

#[tokio::test(start_paused = true)]
async fn certificates_of_another_authority_are_refused_on_both_sides() {
    let lab = Lab::default();
    let (ours, theirs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    make(ours.path(), &subjects(&["fra-1"])).expect("makes");
    make(theirs.path(), &subjects(&["lon-2"])).expect("makes");
    let first = lab.start(with_tls(&lab, ours.path(), "fra", 1), Storage::Memory).await;
    first.entered().await.expect("founds");
    let mut options = with_tls(&lab, theirs.path(), "lon", 2);
    options.join = vec![first.address.clone()];
    let error = refused(&lab, options.clone()).await;
    assert!(error.contains("the certificate of the other node is of another authority"), "{error}");
    // One that trusts both gets as far as the other's check.
    let both = theirs.path().join("both.pem");
    let pem = |dir: &Path| std::fs::read_to_string(dir.join("ca.pem")).expect("reads");
    std::fs::write(&both, pem(ours.path()) + &pem(theirs.path())).expect("writes");
    options.tls = files(theirs.path(), theirs.path(), "lon-2").map(|files| Files { ca: both, ..files });
    let error = refused(&lab, options).await;
    assert!(error.contains("the other node refuses our certificate"), "{error}");
    assert_eq!(first.handle.cluster().members().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_tls_is_not_taken_by_one_with() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    make(dir.path(), &subjects(&["fra-1"])).expect("makes");
    let first = lab.start(with_tls(&lab, dir.path(), "fra", 1), Storage::Memory).await;
    first.entered().await.expect("founds");
    let mut options = lab.options("lon", 2);
    options.join = vec![first.address.clone()];
    let bare = lab.start(options, Storage::Memory).await;
    let entered = tokio::time::timeout(std::time::Duration::from_secs(20), bare.handle.entered()).await;
    assert!(entered.is_err(), "it must try for ever: {entered:?}");
    assert_eq!(first.handle.cluster().members().len(), 1);
}

#[test]
fn beyond_loopback_nothing_goes_without_tls() {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    rt.block_on(async {
        let open = Options {
            net: Arc::new(mesh::net::Tcp::default()),
            ..Options::new("a", "b", "10.0.0.1:7060".parse().expect("an address"))
        };
        assert!(matches!(Mesh::new(open).err(), Some(Error::Bare(address)) if address == "10.0.0.1:7060"));
    });
}

/// The same over TCP, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_meet_over_tcp() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    make(dir.path(), &subjects(&["fra-1", "lon-2"])).expect("makes");
    let mut nodes: Vec<Node> = Vec::new();
    for (site, number) in [("fra", 1), ("lon", 2)] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let mut options = with_tls(&lab, dir.path(), site, number);
        (options.listen, options.mesh) = (port, port.to_string());
        options.join = nodes.iter().map(|node| node.address.clone()).collect();
        let node = lab.start_on(options, Storage::Memory, lab.wire.socket()).await;
        node.entered().await.expect("enters");
        nodes.push(node);
    }
    for node in &nodes {
        node.sees("the other", |node| node.handle.peers().iter().any(|peer| peer.is_up() && peer.linked)).await;
        node.sees("its lease", Node::leased).await;
    }
}
