//! The description of the API for machines, made from the table of routes.

mod schemas;

use crate::routes::{Route, routes};
use serde_json::{Map, Value, json};

/// OpenAPI 3.1.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Without a configured token a node answers on loopback only, and everybody there may do everything."
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": name(route),
        "parameters": parameters(route),
        "responses": {
            answer_code(route): { "description": "Done", "content": content(route.answer) },
            "default": { "description": "What is wrong, where, and how to mend it", "content": content(Some("Problem")) },
        },
    });
    if let Some(scope) = route.scope {
        operation["security"] = json!([{ "token": [scope.as_str()] }]);
    }
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": content(Some(schema)) });
    }
    operation
}

/// `get_calls_id` for `GET /api/v1/calls/{id}`.
fn name(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1").replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}{path}", route.method)
}

fn answer_code(route: &Route) -> &'static str {
    if route.method == "delete" { "204" } else { "200" }
}

fn content(schema: Option<&str>) -> Value {
    match schema {
        None => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Some("csv") => json!({ "text/csv": { "schema": { "type": "string" } } }),
        Some("backup") => json!({ "application/x-tandem-backup": { "schema": { "type": "string" } } }),
        Some("object") => json!({ "application/json": { "schema": { "type": "object" } } }),
        Some(name) => json!({ "application/json": { "schema": schemas::reference(name) } }),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let segments = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        segments.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.parameters.iter().map(|(name, kind, meaning)| {
        let required = match route.path {
            "/api/v1/route" => matches!(*name, "trunk" | "called"),
            "/api/v1/import/rates" => *name == "deck",
            _ => false,
        };
        json!({ "name": name, "in": "query", "required": required, "description": meaning, "schema": { "type": kind } })
    });
    in_path.chain(in_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for route in routes() {
            let operation = &document["paths"][route.path][route.method];
            assert_eq!(operation["summary"], route.summary, "{} {}", route.method, route.path);
        }
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let names: std::collections::BTreeSet<String> = routes().iter().map(name).collect();
        assert_eq!(names.len(), routes().len());
    }
}
