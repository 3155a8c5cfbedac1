//! The cluster over HTTP.

use crate::house::{House, problem};

#[test]
fn the_cluster_is_shown_and_a_node_removed() {
    let house = House::new();
    let cluster = house.json("/api/v1/cluster");
    assert_eq!((&cluster["quorum"], &cluster["nodes"][0]["shards_owned"]), (&true.into(), &1024.into()));
    assert!(cluster["nodes"][0]["calls"].is_null(), "what is not known is not shown as nothing");
    assert_eq!(house.ask("DELETE", "/api/v1/cluster/nodes/n2", None).0, 204);
    let drain = |node: &str| {
        let body = serde_json::json!({ "node": node, "draining": true });
        house.ask("POST", "/api/v1/cluster/drain", Some(body)).0
    };
    assert_eq!((drain("n1"), drain("n9")), (200, 404));
    let (status, text) = house.ask("DELETE", "/api/v1/cluster/nodes/n9", None);
    assert_eq!((status, problem(&text).error.as_str()), (404, "there is no node `n9`"));
}
