//! The harness itself: what it cuts is cut, and what it heals passes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tests::Lab;
use tests::cluster::{Links, moved};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

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

/// Says a word over a new connection from one address, and hears it back twice; how long that took each time, the
/// connection in the first.
async fn says(from: IpAddr, to: SocketAddr) -> [Duration; 2] {
    let began = Instant::now();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("free");
    let mut stream = socket.connect(to).await.expect("somebody listens");
    let mut took = [began, began];
    for took in &mut took {
        *took = Instant::now();
        stream.write_all(b"word").await.expect("it takes it");
        stream.read_exact(&mut [0; 4]).await.expect("it answers");
    }
    [took[1] - began, took[1].elapsed()]
}

/// The shortest of several: a machine that is busy makes some of them long.
async fn shortest(from: IpAddr, to: SocketAddr) -> [Duration; 2] {
    let mut least = [Duration::MAX; 2];
    for _ in 0..5 {
        let took = says(from, to).await;
        least = [least[0].min(took[0]), least[1].min(took[1])];
    }
    least
}

#[tokio::test]
async fn a_long_link_takes_its_time_both_ways_and_others_do_not() {
    if !Links::can_be_cut() {
        return;
    }
    let lab = Lab::shared();
    let hosts = [1, 2, 3].map(|last| lab.host(last));
    let ends = hosts.map(|host| SocketAddr::new(host, 7060));
    for end in ends {
        let listener = TcpListener::bind(end).await.expect("free");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
    }
    let (trip, more) = (Duration::from_millis(80), Duration::from_millis(60));
    let mut links = Links::new(&lab);
    links.lengthen([ends[0], ends[1]], trip / 2);
    for (from, to) in [(hosts[0], ends[1]), (hosts[1], ends[0])] {
        let [first, second] = shortest(from, to).await;
        assert!(first >= trip * 2 && first < trip * 2 + more, "with its setup: {first:?}");
        assert!(second >= trip && second < trip + more, "there and back: {second:?}");
    }
    assert!(shortest(hosts[0], ends[2]).await.iter().all(|took| *took < trip), "another link is as short as before");
    drop(links);
    assert!(shortest(hosts[0], ends[1]).await.iter().all(|took| *took < trip), "nothing stays behind");
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
