//! The queries of the dashboards as Grafana would send them.

use crate::prometheus::Prometheus;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Panels that show nothing while nothing of their kind has happened; whether a query of them is answered at all is tried all the same.
const QUIET: &[&str] = &[];

/// Every panel of which no query has returned a value, with what it asked.
pub(crate) fn empty_panels(prometheus: &Prometheus<'_>, span: Duration) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards");
    let files = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it reads").path());
    let (mut empty, mut asked) = (Vec::new(), 0);
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
        let text = std::fs::read_to_string(&file).expect("it reads");
        let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
        let name = dashboard["title"].as_str().unwrap_or_default();
        for panel in dashboard["panels"].as_array().expect("it has panels") {
            let queries: Vec<String> = panel["targets"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|target| Some(filled(target["expr"].as_str()?)))
                .collect();
            let title = panel["title"].as_str().unwrap_or_default();
            asked += queries.len();
            let mut shows = queries.is_empty() || QUIET.contains(&title);
            for query in &queries {
                match prometheus.has_data(query, span) {
                    Ok(has) => shows |= has,
                    Err(error) => empty.push(format!("{name}: {title}: {error}: {query}")),
                }
            }
            if !shows {
                empty.push(format!("{name}: {title}: {}", queries.join("\n    ")));
            }
        }
    }
    assert!(asked > 50, "only {asked} queries were found");
    empty
}

/// Lays the dashboards out as pages in `folder`, by the same queries.
pub(crate) fn draw(prometheus: &Prometheus<'_>, span: Duration, folder: &Path) {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/picture.py");
    let minutes = (span.as_secs_f64() / 60.0).to_string();
    let mut command = Command::new(program);
    command.arg(prometheus.url()).args(["--minutes", &minutes, "--to"]).arg(folder);
    let output = command.output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(drawn, 5, "a page a dashboard");
}

/// With everything that may be chosen above a dashboard chosen.
fn filled(query: &str) -> String {
    ["$site", "$direction", "$trunk", "$node"].iter().fold(query.to_owned(), |query, name| query.replace(name, ".*"))
}
