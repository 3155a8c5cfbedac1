//! Transfers that the node carries out: a PBX of one partner asks, two real phones are joined.

use tests::pjsua::{self, ALICE_NUMBER, BOB_NUMBER, CALLEE_SEED, CALLER_SEED};
use tests::tables::{CALLER, Tables};
use tests::{Lab, Node, Sipp};

/// A NOTIFY that the phone rings, which comes before the last one.
const RINGS: &str = r#"
  <recv request="NOTIFY">
    <action>
      <ereg regexp="^SIP/2.0 180 " search_in="body" check_it="true" assign_to="rings"/>
    </action>
  </recv>
  <send>
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

    ]]>
  </send>
  <Reference variables="rings"/>
"#;

/// The node ends the leg of whoever was told of the success.
const LEFT: &str = r#"
  <recv request="BYE"/>
  <send>
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

    ]]>
  </send>
  <pause milliseconds="200"/>
"#;

/// The call goes on, and is ended as any other.
const HANGS_UP: &str = r#"
  <pause milliseconds="300"/>
  <send retrans="500">
    <![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      Max-Forwards: 70
      From: "Caller" <sip:+442071230000@[local_ip]:[local_port]>;tag=[pid]c[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 3 BYE
      Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
"#;

fn tables(lab: &Lab) -> Tables {
    let pbx = format!(
        "[[trunk]]\nname = \"pbx\"\naccount = \"acme\"\nrefer = \"follow\"\n\
         [trunk.ingress]\nfrom = [\"{}/32\"]\nplan = \"retail\"\ncaller_policy = \"pass\"\ndeny = [\"882\"]",
        lab.host(CALLER)
    );
    Tables::default()
        .account("acme", "retail")
        .with("[[plan]]\nname = \"retail\"\norder = \"priority\"")
        .user("alice", "alice-secret", ALICE_NUMBER)
        .user("bob", "bob-secret", BOB_NUMBER)
        .user("carol", "carol-secret", "+442071230003")
        .with(&pbx)
}

fn pbx<'lab>(lab: &'lab Lab, target: &str, rings: &str, code: &str, after: &str) -> Sipp<'lab> {
    Sipp::new(lab, CALLER, "caller_transfers")
        .set("target", target)
        .set("progress", rings)
        .set("final", code)
        .set("after", after)
}

/// Plays the phones' part beside the PBX's, which begins once both are registered.
fn play(lab: &Lab, node: &Node<'_>, scenario: &str, pbx: Sipp<'_>) {
    std::thread::scope(|scope| {
        let phones = scope.spawn(|| pjsua::play(lab, Some(node), scenario, &[]));
        node.wait_metric("tandem_registrations", "", |count| count == 2.0);
        pbx.call(&node.sip(), ALICE_NUMBER).done();
        let seen = phones.join().expect("the phones played");
        assert_eq!(seen.get("error"), None, "{seen}\n{}", node.log());
    });
}

#[test]
fn a_partner_transfers_a_phone_to_another_and_both_hear_each_other() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    play(&lab, &node, "transferred", pbx(&lab, BOB_NUMBER, RINGS, "200", LEFT));
    pjsua::assert_heard(&lab, "heard-by-bob", CALLER_SEED, 3);
    pjsua::assert_heard(&lab, "heard-by-alice", CALLEE_SEED, 3);
    let rows = node.wait_cdrs(1);
    let finals: Vec<_> = rows.iter().filter(|row| row.last).collect();
    assert_eq!(finals.len(), 1, "{rows:#?}");
    assert_eq!((finals[0].attempt, &*finals[0].called_in, &*finals[0].ingress_trunk), (2, BOB_NUMBER, "pbx"));
    assert!(rows.iter().all(tests::cdr::Cdr::is_answered), "{rows:#?}");
    node.wait_idle();
    node.stop();
}

#[test]
fn a_transfer_to_a_phone_that_is_not_there_leaves_the_call_as_it_was() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    play(&lab, &node, "called", pbx(&lab, "+442071230003", "", "480", HANGS_UP));
    let rows = node.wait_cdrs(1);
    let last = rows.iter().find(|row| row.last).expect("a final row");
    assert_eq!((last.attempt, &*last.ended_by, last.sip_code), (1, "caller", Some(200)), "{rows:#?}");
    node.wait_idle();
}
