//! A call that several nodes have had is one trace, though one of them died.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::process::wait_until;
use tests::traces::{Span, Tracer};
use tests::{Cluster, Lab};

use crate::calls::wide_of;

const WAIT: Duration = Duration::from_secs(4);
/// How long a move may take, that of a node which has to be given up first included.
const MOVED: Duration = Duration::from_secs(15);
/// Spans leave a second after they are there.
const SOON: Duration = Duration::from_secs(10);
/// The collector's host number.
const COLLECTOR: u8 = 60;

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn a_call_that_is_taken_over_is_one_trace_with_one_root() {
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let mut cluster = Cluster::new(&lab, topology::bundled::three_sites().expect("valid"));
    cluster.members().iter().for_each(|member| member.configure(&tracer.section(100)));
    cluster.serve();
    let (mut cluster, pbx, _carrier) = wide_of(&lab, cluster);
    let former = "fra-1";
    let call = pbx.dial(&cluster.member(former).sip(), "4420123456", WAIT).expect("it is answered");
    wait_until("the node that answered it has told of that", SOON, || !named(&tracer.spans(), "attempt").is_empty());
    cluster.kill(former);
    let holder = || {
        let asked = cluster.members().iter().filter(|member| member.is_started());
        let calls = asked.map(|member| member.json(&["calls"])).find(|calls| !calls["calls"][0]["id"].is_null());
        calls.and_then(|calls| calls["calls"][0]["node"].as_str().map(str::to_owned))
    };
    let mut heir = String::new();
    wait_until("another node has it", MOVED, || {
        heir = holder().filter(|node| node != former).unwrap_or_default();
        !heir.is_empty()
    });
    let sip = cluster.member(&heir).sip();
    wait_until("its caller ends it there", MOVED, || pbx.ask(&call, "BYE", &sip).is_some_and(|(code, _)| code == 200));
    let mut spans = Vec::new();
    wait_until("the whole call has come", SOON, || {
        spans = tracer.spans();
        !named(&spans, "call").is_empty()
    });
    let root = named(&spans, "call")[0];
    assert_eq!(named(&spans, "call").len(), 1, "{spans:#?}");
    assert_eq!(spans.iter().map(|span| &span.trace).collect::<BTreeSet<_>>().len(), 1, "one trace: {spans:#?}");
    assert!(spans.iter().all(|span| span.name == "call" || span.parent == root.id), "{spans:#?}");
    assert!(root.parent.is_empty() && root.node == heir && root.get("call.takeovers") == "1", "{root:#?}");
    let nodes = |name: &str| named(&spans, name).iter().map(|span| span.node.clone()).collect::<Vec<_>>();
    assert_eq!((nodes("routing"), nodes("attempt")), (vec![former.to_owned()], vec![former.to_owned()]), "{spans:#?}");
    assert_eq!((nodes("carried"), nodes("conversation")), (vec![heir.clone()], vec![heir.clone()]), "{spans:#?}");
    let [routing, carried] = ["routing", "carried"].map(|name| named(&spans, name)[0]);
    assert!(root.began.abs_diff(routing.began) < 5_000_000, "it began where the INVITE came: {spans:#?}");
    assert!(root.ended + 50_000_000 >= carried.ended && carried.began > routing.ended, "{spans:#?}");
    assert!(
        carried.tells("taken over", "from", former) && carried.tells("taken over", "why", "node_lost"),
        "{spans:#?}"
    );
    assert!(carried.tells("asked to follow", "said", "yes"), "{carried:#?}");
    let sites: BTreeSet<&str> = spans.iter().map(|span| span.site.as_str()).collect();
    assert_eq!(sites.len(), 2, "{sites:?}");
    assert!(!String::from_utf8_lossy(&tracer.bytes()).contains("20123456"));
}

#[test]
fn a_call_that_is_drained_away_is_told_by_both_nodes() {
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let mut cluster = Cluster::new(&lab, topology::bundled::three_sites().expect("valid"));
    cluster.members().iter().for_each(|member| member.configure(&tracer.section(100)));
    cluster.serve();
    let (cluster, pbx, _carrier) = wide_of(&lab, cluster);
    let former = "fra-1";
    pbx.dial(&cluster.member(former).sip(), "4420123456", WAIT).expect("it is answered");
    let (status, said) = cluster.member("lon-1").cli(&["cluster", "drain", former]);
    assert_eq!(status, Some(0), "{said}");
    wait_until("the former node has told its part", SOON, || !named(&tracer.spans(), "carried").is_empty());
    let calls = cluster.member("lon-1").json(&["calls"]);
    let (id, heir) =
        (calls["calls"][0]["id"].as_str().expect("a call"), calls["calls"][0]["node"].as_str().expect("a node"));
    wait_until("it is ended by the operator", MOVED, || {
        cluster.member(heir).cli(&["calls", "hangup", id]).0 == Some(0)
    });
    wait_until("the whole call has come", SOON, || !named(&tracer.spans(), "call").is_empty());
    let spans = tracer.spans();
    let root = named(&spans, "call")[0];
    let parts = named(&spans, "carried");
    assert_eq!(parts.len(), 2, "{spans:#?}");
    assert!((parts[0].node.as_str(), parts[0].get("call.ended")) == (former, "false"), "{spans:#?}");
    assert!(parts[0].tells("gone", "to", heir) && parts[1].tells("taken over", "from", former), "{spans:#?}");
    assert!((parts[1].node.as_str(), parts[1].get("call.ended")) == (heir, "true"), "{spans:#?}");
    assert!(parts[1].tells("taken over", "why", "drain") && root.node == heir, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == root.trace), "{spans:#?}");
}
