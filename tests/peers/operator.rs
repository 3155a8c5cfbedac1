//! What an operator does while calls run: looks, changes, takes back, and makes mistakes.

use std::time::Duration;

use tests::datagram::{Datagrams, request};
use tests::tables::{CALLER, GATEWAY, PORT, SECOND_GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// The columns of a record, in order: operators script against them.
const COLUMNS: &str = "id,call_id,attempt,final,node,site,epoch,started,ringing,answered,ended,duration_ms,\
billed_seconds,ingress_trunk,egress_trunk,ingress_account,egress_account,caller_in,called_in,caller_out,called_out,lrn,\
prefix,sell_rate,sell_amount,buy_rate,buy_amount,currency,pdd_ms,sip_code,q850,ended_by,reason,codec,mos,jitter_ms,\
loss_percent,takeovers,ingress_call_id,egress_call_id";

#[test]
fn an_operator_sees_a_call_and_ends_it() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_hung_up").call(&node.sip(), "441234");
    tests::process::wait_until("the call is up", Duration::from_secs(10), || !caller.logged().is_empty());
    let calls = node.json(&["calls"]);
    let text = calls.to_string();
    let list = calls.as_array().or_else(|| calls["calls"].as_array()).unwrap_or_else(|| panic!("no list: {text}"));
    assert_eq!(list.len(), 1, "{text}");
    let id = list[0]["id"].as_str().or_else(|| list[0]["call_id"].as_str()).unwrap_or_else(|| panic!("no id: {text}"));
    let (status, output) = node.cli(&["calls", "hangup", id]);
    assert_eq!(status, Some(0), "{output}");
    caller.done();
    callee.done();
    assert_eq!(node.wait_cdrs(1)[0].ended_by, "switch");
    node.wait_idle();
}

#[test]
fn records_have_the_columns_that_operators_know() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let socket = Datagrams::bind(&lab, CALLER, PORT);
    // Nobody listens at the gateways, so the call fails, which leaves a record as well.
    let invite = request("INVITE", &node.sip(), socket.address(), "columns");
    socket.send(&node.sip(), invite.as_bytes());
    node.wait_cdrs(1);
    let folder = std::fs::read_dir(lab.path("data/cdr")).expect("the folder of records");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    let text = std::fs::read_to_string(&files[0]).expect("a closed file can be read");
    assert_eq!(text.lines().next(), Some(COLUMNS));
}

#[test]
fn a_wrong_file_is_refused_by_file_and_line_and_changes_nothing() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let revision = node.metric("tandem_table_revision", "");
    assert!(revision >= 1.0, "the revision is counted");
    for (name, text, line) in [
        ("unknown-key.toml", "[[account]]\nname = \"x\"\ncolour = \"red\"\n", 3),
        ("no-toml.toml", "[[account]]\nname = \"x\"\n= = =\n", 3),
        ("no-such-trunk.toml", "[[plan]]\nname = \"p\"\n[[plan.route]]\nprefix = \"\"\ntrunks = [\"nobody\"]\n", 5),
        ("no-address.toml", "[[trunk]]\nname = \"t\"\n[trunk.ingress]\nfrom = [\"300.1.1.1/32\"]\n", 4),
    ] {
        let path = lab.write(name, text);
        let (status, output) = node.cli(&["apply", "-f", &path.to_string_lossy()]);
        assert_eq!(status, Some(2), "{name}: {output}");
        assert!(output.contains(&format!("{name}:{line}")), "{name}: where is it wrong? {output}");
        assert_eq!(node.metric("tandem_table_revision", ""), revision, "{name}");
    }
}

#[test]
fn a_change_reaches_the_next_call_and_can_be_taken_back() {
    let lab = Lab::shared();
    let usual = Tables::usual(&lab);
    let node = Node::start(&lab, &usual);
    let before = node.metric("tandem_table_revision", "");
    let other = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(CALLER), "")
        .egress("beta", lab.host(SECOND_GATEWAY), "udp")
        .plan("retail", &["beta"]);
    node.apply(&other);
    assert_eq!(node.metric("tandem_table_revision", ""), before + 1.0, "one change, one revision");
    call_through(&lab, &node, SECOND_GATEWAY);
    let (status, output) = node.cli(&["rollback", &format!("{before}")]);
    assert_eq!(status, Some(0), "{output}");
    call_through(&lab, &node, GATEWAY);
    let trunks: Vec<String> = node.wait_cdrs(2).into_iter().map(|row| row.egress_trunk).collect();
    assert_eq!(trunks, ["beta", "alpha"]);
}

/// One short call, which the gateway at `host` has to get.
#[track_caller]
fn call_through(lab: &Lab, node: &Node<'_>, host: u8) {
    let callee = Sipp::new(lab, host, "callee").set("ring", "0").serve(1);
    Sipp::new(lab, CALLER, "caller").args(&["-d", "100"]).call(&node.sip(), "441234").done();
    callee.done();
}

#[test]
fn what_is_exported_can_be_applied_and_changes_nothing() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let revision = node.metric("tandem_table_revision", "");
    let (status, exported) = node.cli(&["export"]);
    assert_eq!(status, Some(0), "{exported}");
    let path = lab.write("exported.toml", &exported);
    let (status, output) = node.cli(&["apply", "-f", &path.to_string_lossy()]);
    assert_eq!(status, Some(0), "{output}\n{exported}");
    assert_eq!(node.metric("tandem_table_revision", ""), revision, "nothing is different: {output}");
}

#[test]
fn the_route_of_a_number_is_explained() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let (status, output) = node.cli(&["route", "pbx", "441234"]);
    assert_eq!(status, Some(0), "{output}");
    let (alpha, beta) = (output.find("alpha"), output.find("beta"));
    assert!(alpha.is_some() && beta.is_some() && alpha < beta, "alpha, then beta: {output}");
}

#[test]
fn tables_survive_a_crash() {
    let lab = Lab::shared();
    let mut node = Node::start(&lab, &Tables::usual(&lab));
    node.kill();
    node.restart();
    call_through(&lab, &node, GATEWAY);
    node.stop();
}
