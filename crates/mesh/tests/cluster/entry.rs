//! Founding, joining, starting again; and who is refused. Where the data is on disk time is real: the clock of a paused
//! runtime would run ahead of the disk.

use crate::lab::{Lab, Node, folder};
use mesh::Options;
use routing::cluster::ClusterChange;
use tables::Storage;

#[tokio::test(start_paused = true)]
async fn a_node_alone_founds_a_cluster_and_owns_everything() {
    let lab = Lab::default();
    let node = lab.start(lab.options("fra", 1), Storage::Memory).await;
    node.entered().await.expect("enters");
    assert_eq!((node.handle.me(), node.handle.incarnation()), (1, 1));
    node.sees("all shards as its own", |node| node.acting() == 1024).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_join_by_any_member() {
    let lab = Lab::default();
    let mut nodes = lab.cluster(&["fra", "lon"]).await;
    // Only the second node is named, which does not lead.
    let mut options = lab.options("ams", 3);
    options.join = vec![nodes[1].address.clone()];
    assert!(nodes[0].leads());
    let third = lab.start(options, Storage::Memory).await;
    third.entered().await.expect("enters");
    assert_eq!((third.handle.me(), third.handle.incarnation()), (3, 1));
    nodes.push(third);
    for node in &nodes {
        node.sees("two others", |node| node.handle.peers().iter().filter(|peer| peer.is_up()).count() == 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_for_the_members_that_it_was_told() {
    let lab = Lab::default();
    let mut options = lab.options("lon", 2);
    options.join = vec!["127.0.0.1:7060".to_owned()];
    let early = lab.start(options, Storage::Memory).await;
    let first = lab.start(lab.options("fra", 1), Storage::Memory).await;
    first.entered().await.expect("founds");
    early.entered().await.expect("joins as soon as there is somebody");
    assert_eq!(early.handle.cluster().id, first.handle.cluster().id);
}

async fn refused(lab: &Lab, options: Options) -> String {
    let node = lab.start(options, Storage::Memory).await;
    let error = node.entered().await.expect_err("refused").to_string();
    node.stop().await;
    error
}

#[tokio::test(start_paused = true)]
async fn a_reused_name_is_refused_with_the_reason() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon"]).await;
    let mut options = lab.options("lon", 9);
    options.name = "lon-2".to_owned();
    options.join = vec![nodes[0].address.clone()];
    let error = refused(&lab, options).await;
    assert!(error.contains("the name lon-2 belongs to another node of this cluster"), "{error}");
    assert_eq!(nodes[0].handle.cluster().members().len(), 2);
}

#[tokio::test]
async fn a_folder_of_another_node_is_refused() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    let node = lab.start(lab.options("fra", 1), folder(&dir, "data")).await;
    node.entered().await.expect("founds");
    node.stop().await;
    let node = lab.start(lab.options("lon", 1), folder(&dir, "data")).await;
    let error = node.entered().await.expect_err("refused").to_string();
    assert!(error.contains("belongs to node fra-1, not to lon-1"), "{error}");
}

#[tokio::test]
async fn a_node_that_starts_again_has_a_new_incarnation_and_needs_no_address() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    let first = lab.start(lab.options("fra", 1), Storage::Memory).await;
    first.entered().await.expect("founds");
    let mut options = lab.options("lon", 2);
    options.join = vec![first.address.clone()];
    let second = lab.start(options, folder(&dir, "data")).await;
    second.entered().await.expect("joins");
    second.sees("its lease", Node::leased).await;
    second.stop().await;
    let second = lab.start(lab.options("lon", 2), folder(&dir, "data")).await;
    second.entered().await.expect("starts again");
    assert_eq!((second.handle.me(), second.handle.incarnation()), (2, 2));
    second.sees("its lease", Node::leased).await;
    first
        .sees("the new life", |node| node.handle.peers().iter().any(|peer| peer.incarnation == 2 && peer.is_up()))
        .await;
}

#[tokio::test]
async fn a_removed_node_is_told_and_does_not_come_back() {
    let (lab, dir) = (Lab::default(), tempfile::tempdir().expect("a folder"));
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    let mut options = lab.options("par", 4);
    options.join = vec![nodes[0].address.clone()];
    options.witness = true;
    let leaving = lab.start(options, folder(&dir, "data")).await;
    leaving.entered().await.expect("joins");
    let node = leaving.handle.me();
    nodes[0].tables.change_cluster(ClusterChange::Remove(node)).await.expect("removes");
    let told = tokio::time::timeout(crate::lab::SOON, leaving.handle.expelled()).await.expect("it is told").to_string();
    assert!(told.contains("removed"), "{told}");
    leaving.stop().await;
    let again = lab.start(lab.options("par", 4), folder(&dir, "data")).await;
    let error = again.entered().await.expect_err("refused").to_string();
    assert!(error.contains("may have been removed"), "{error}");
}
