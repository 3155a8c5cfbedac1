//! The harness itself: what it cuts is cut, and what it heals passes.

use std::net::UdpSocket;
use std::time::Duration;

use tests::Lab;
use tests::cluster::{Links, moved};

/// Whether a datagram passes from one socket to the other.
fn passes(from: &UdpSocket, to: &UdpSocket) -> bool {
    let address = to.local_addr().expect("bound");
    // The kernel says at once that a datagram of its own was dropped.
    if from.send_to(b"x", address).is_err() {
        return false;
    }
    to.recv_from(&mut [0; 8]).is_ok()
}

#[test]
fn a_cut_link_carries_nothing_in_either_direction_and_others_go_on() {
    if !Links::can_be_cut() {
        return;
    }
    let lab = Lab::shared();
    let hosts = [1, 2, 3].map(|last| lab.host(last));
    let sockets = hosts.map(|host| UdpSocket::bind((host, 7060)).expect("free"));
    sockets.iter().for_each(|socket| socket.set_read_timeout(Some(Duration::from_millis(200))).expect("settable"));
    let [one, two, three] = &sockets;
    let mut links = Links::new(&lab);
    assert!(passes(one, two) && passes(two, one));
    links.set_cut([hosts[1], hosts[0]], true);
    assert!(!passes(one, two) && !passes(two, one), "the link is cut");
    assert!(passes(one, three) && passes(three, two), "the others are not");
    links.set_cut([hosts[0], hosts[1]], false);
    assert!(passes(one, two) && passes(two, one), "it is healed");
    links.set_cut([hosts[0], hosts[2]], true);
    drop(links);
    assert!(passes(one, three), "nothing stays behind");
}

#[test]
fn a_topology_moves_to_the_lab_as_a_whole() {
    let lab = Lab::shared();
    let topology = moved(&lab, topology::bundled::three_sites().expect("valid"));
    let block = lab.host(0).to_string();
    let prefix = block.trim_end_matches('0');
    for node in &topology.nodes {
        assert!(node.ip().to_string().starts_with(prefix) && node.http.ip() == node.ip(), "{}", node.to_toml());
        assert!(!node.to_toml().contains("127.0."), "{}", node.to_toml());
    }
    assert!(!topology.tables.expect("there").text.contains("127.0."));
}
