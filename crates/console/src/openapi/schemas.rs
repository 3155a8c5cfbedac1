//! The schemas of what goes over the wire, in a short notation: `name: type`, `?` for what may be absent, `[]` for a list.

use serde_json::{Map, Value, json};

const SCHEMAS: &[(&str, &str)] = &[
    ("Problem", "error: string, where?: string, mend?: string, more?: Problem[]"),
    ("Missing", "node: string, site: string, why: string"),
    ("Calls", "calls: Call[], more: boolean, missing: Missing[]"),
    (
        "Call",
        "id: string, state: string, ingress_trunk: string, egress_trunk: string, caller: string, called: string, \
         started?: string, answered?: string, seconds: integer, codec: string, attempts: integer, node: string, site: string, \
         ended?: string, sip_code?: integer, q850?: integer, ended_by?: string, reason?: string, ladder?: Step[], \
         left_out?: integer, media?: MediaSide[], moves?: Move[], missing?: Missing[]",
    ),
    (
        "Step",
        "at: string, unix_us: integer, node: string, leg: string, way: string, what: string, kind?: string, party?: string, method?: string, \
         transport?: string, local?: string, remote?: string, repeats?: integer, last_unix_us?: integer, sdp?: boolean, \
         length?: integer, message?: string, message_base64?: string",
    ),
    (
        "MediaSide",
        "node: string, side: string, packets: integer, lost: integer, jitter_ms: number, mos: number, payload_type?: integer",
    ),
    ("Move", "at: string, from: string, to: string, why: string"),
    ("Trunks", "trunks: Trunk[], missing: Missing[]"),
    (
        "Trunk",
        "name: string, account?: string, channels_used: integer, channels_limit?: integer, cps_limit?: integer, \
         nodes: Share[], gateways: Gateway[], registered?: boolean",
    ),
    (
        "Share",
        "node: string, channels_used: integer, channels_leased?: integer, registered?: boolean, ingress: Traffic, \
         egress: Traffic",
    ),
    (
        "Traffic",
        "active: integer, attempts: integer, answered: integer, rang: integer, pdd_ms_sum: integer, heard: integer, \
         mos_milli_sum: integer",
    ),
    ("Gateway", "address: string, state: string, sites: GatewaySite[]"),
    ("GatewaySite", "site: string, state: string"),
    ("Registrations", "registrations: Registration[], more: boolean, missing: Missing[]"),
    (
        "Registration",
        "name: string, contact: string, expires_seconds: integer, transport: string, user_agent: string, node: string, \
         site: string",
    ),
    ("Nodes", "nodes: Node[], missing: Missing[]"),
    (
        "Node",
        "name: string, site: string, state: string, calls?: integer, registrations?: integer, relay_sessions?: integer, \
         revision?: integer, lease_remaining_ms?: integer, rtt_ms?: number, started?: string, version?: string",
    ),
    ("Numbers", "numbers: Number[], more: boolean, missing: Missing[]"),
    ("Number", "number: string, account?: string, to: string, on_failure?: string, state?: string"),
    ("Cdrs", "cdrs: object[]"),
    ("Apply", "files: File[], who?: string, comment?: string"),
    ("File", "name: string, text: string"),
    ("Applied", "revision: integer, dry_run: boolean, changes: string[]"),
    ("History", "revisions: Revision[]"),
    (
        "Revision",
        "revision: integer, at: string, who: string, comment: string, added: integer, changed: integer, \
         deleted: integer, rollback_to?: integer",
    ),
    ("RevisionDetail", "revision: Revision, changes: string[]"),
    ("Drain", "node: string, draining: boolean"),
    ("Rollback", "revision: integer, dry_run?: boolean, who?: string, comment?: string"),
    (
        "Route",
        "revision: integer, attempts: Attempt[], candidates: Candidate[], lrn?: string, emergency: boolean, \
         refused?: string, sip_code?: integer",
    ),
    ("Attempt", "target: string, called: string, plan?: string, prefix: string"),
    ("Candidate", "what: string, by: string, kept: boolean, why: string"),
    (
        "Cluster",
        "id: string, me: string, leader?: string, term: integer, revision: integer, quorum: boolean, nodes: Member[], \
         missing: Missing[]",
    ),
    (
        "Member",
        "name: string, site: string, state: string, role: string, shards_owned: integer, shards_backup: integer, \
         lease_remaining_ms?: integer, rtt_ms?: number, calls?: integer, registrations?: integer, \
         relay_sessions?: integer, revision?: integer, version?: string, address: string",
    ),
    (
        "Imported",
        "revision: integer, dry_run: boolean, rows: integer, added: integer, changed: integer, removed: integer, \
         same: integer, summary: string, changes?: string[]",
    ),
    ("Imports", "imports: ImportState[]"),
    (
        "ImportState",
        "id: string, what: string, file: string, who: string, stage: string, bytes: integer, rows: integer, \
         written: integer, seconds: number, error?: string",
    ),
];

/// All of them by name.
pub(super) fn all() -> Map<String, Value> {
    SCHEMAS.iter().map(|(name, fields)| ((*name).to_owned(), schema(fields))).collect()
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schema(fields: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields.split(", ") {
        let (name, kind) = field.split_once(": ").unwrap_or((field, "string"));
        if !name.ends_with('?') {
            required.push(name);
        }
        properties.insert(name.trim_end_matches('?').to_owned(), of_type(kind));
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn of_type(kind: &str) -> Value {
    match kind.strip_suffix("[]") {
        Some(item) => json!({ "type": "array", "items": of_type(item) }),
        None if kind.starts_with(|first: char| first.is_ascii_uppercase()) => reference(kind),
        None => json!({ "type": kind }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;
    use serde::Serialize;
    use std::collections::BTreeSet;

    /// The keys that a value has on the wire, and those that its schema names.
    fn compare<T: Serialize>(name: &str, full: &T) {
        let schemas = all();
        let schema = &schemas[name]["properties"];
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&serde_json::to_value(full).unwrap()), keys(schema), "{name}");
    }

    #[test]
    fn schemas_name_what_goes_over_the_wire() {
        let text = || Some(String::new());
        let problem = || api::Problem::default().at("x").mend("x");
        compare("Problem", &api::Problem { more: vec![problem()], ..problem() });
        compare("Missing", &api::Missing::default());
        compare("Calls", &api::Calls::default());
        let call = api::Call { started: text(), answered: text(), ..api::Call::default() };
        let call = api::Call { ended: text(), ended_by: text(), reason: text(), sip_code: Some(200), ..call };
        let call = api::Call { q850: Some(16), left_out: Some(1), missing: vec![api::Missing::default()], ..call };
        let call = api::Call { media: vec![api::MediaSide::default()], moves: vec![api::Move::default()], ..call };
        compare("Call", &api::Call { ladder: vec![api::Step::default()], ..call });
        let step = api::Step {
            kind: text(),
            party: text(),
            method: text(),
            transport: text(),
            local: text(),
            ..api::Step::default()
        };
        let step = api::Step { remote: text(), repeats: 1, last_unix_us: Some(1), sdp: true, length: 1, ..step };
        compare("Step", &api::Step { message: text(), message_base64: text(), ..step });
        compare("MediaSide", &api::MediaSide { payload_type: Some(8), ..api::MediaSide::default() });
        compare("Move", &api::Move::default());
        compare("Trunks", &api::Trunks::default());
        let trunk = api::Trunk { account: text(), registered: Some(true), ..api::Trunk::default() };
        compare("Trunk", &api::Trunk { channels_limit: Some(1), cps_limit: Some(1), ..trunk });
        compare("Gateway", &api::Gateway::default());
        compare("GatewaySite", &api::GatewaySite::default());
        compare("Traffic", &api::Traffic::default());
        compare("Share", &api::Share { channels_leased: Some(1), registered: Some(true), ..api::Share::default() });
        compare("Registrations", &api::Registrations::default());
        compare("Registration", &api::Registration::default());
        compare("Nodes", &api::Nodes::default());
        let node =
            api::Node { calls: Some(1), registrations: Some(1), relay_sessions: Some(1), ..api::Node::default() };
        let node = api::Node { revision: Some(1), lease_remaining_ms: Some(1), rtt_ms: Some(1.0), ..node };
        compare("Node", &api::Node { started: text(), version: text(), ..node });
        compare("Numbers", &api::Numbers::default());
        compare(
            "Number",
            &api::Number { account: text(), on_failure: text(), state: text(), ..api::Number::default() },
        );
        compare("Cdrs", &api::Cdrs::default());
    }

    #[test]
    fn schemas_of_the_tables_name_what_goes_over_the_wire() {
        let text = || Some(String::new());
        compare("Apply", &api::Apply::default());
        compare("File", &api::File::default());
        compare("Applied", &api::Applied::default());
        compare("History", &api::History::default());
        compare("Revision", &api::Revision { rollback_to: Some(1), ..api::Revision::default() });
        compare("RevisionDetail", &api::RevisionDetail::default());
        compare("Rollback", &api::Rollback::default());
        compare("Drain", &api::Drain::default());
        let route = api::Route { lrn: text(), refused: text(), sip_code: Some(404), ..api::Route::default() };
        compare("Route", &route);
        compare("Attempt", &api::Attempt { plan: text(), ..api::Attempt::default() });
        compare("Candidate", &api::Candidate::default());
        assert_eq!(SCHEMAS.len(), 36, "a schema that no line of these tests compares");
    }

    #[test]
    fn schemas_of_the_cluster_name_what_goes_over_the_wire() {
        let text = || Some(String::new());
        compare("Cluster", &api::Cluster { leader: text(), ..api::Cluster::default() });
        let member =
            api::Member { lease_remaining_ms: Some(1), rtt_ms: Some(1.0), calls: Some(1), ..api::Member::default() };
        let member = api::Member { registrations: Some(1), relay_sessions: Some(1), revision: Some(1), ..member };
        compare("Member", &api::Member { version: text(), ..member });
        compare("Imported", &api::Imported { changes: vec![String::new()], ..api::Imported::default() });
        compare("Imports", &api::Imports::default());
        compare("ImportState", &api::ImportState { error: text(), ..api::ImportState::default() });
    }
}
