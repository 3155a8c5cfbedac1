//! A Prometheus of the test's own, configured by the files of `deploy/prometheus`.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::process::{Process, holds_within, wait_until};
use tests::{Cluster, Lab};

/// How often it scrapes: `deploy/prometheus/prometheus.yml` says so.
pub(crate) const SCRAPE: Duration = Duration::from_secs(10);
/// The host number of it in the lab, and how long it may take to start.
const HOST: u8 = 90;
const START: Duration = Duration::from_secs(30);

/// Where the program is.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("prometheus")).find(|file| file.is_file())
}

/// It runs until it is dropped.
pub(crate) struct Prometheus<'lab> {
    url: String,
    process: Process,
    _lab: &'lab Lab,
}

impl<'lab> Prometheus<'lab> {
    /// Starts it on every node of a cluster.
    #[track_caller]
    pub(crate) fn start(program: &PathBuf, lab: &'lab Lab, cluster: &Cluster<'_>) -> Self {
        let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
        let config = std::fs::read_to_string(deploy.join("prometheus.yml")).expect("there");
        let targets: String = cluster
            .topology()
            .nodes
            .iter()
            .map(|node| {
                format!("- targets: [\"{}\"]\n  labels: {{node: {}, site: {}}}\n", node.http, node.name, node.site)
            })
            .collect();
        let targets = lab.write("targets.yml", &targets);
        let token = lab.write("token", "none is asked for on loopback");
        let rules = deploy.join("rules/*.yml");
        let config = config
            .replace("rules/*.yml", &rules.display().to_string())
            .replace("targets/tandem.yml", &targets.display().to_string())
            .replace("/etc/prometheus/tandem-token", &token.display().to_string());
        assert!(config.contains(&format!("scrape_interval: {}s", SCRAPE.as_secs())), "{config}");
        let config = lab.write("prometheus.yml", &config);
        let address = format!("{}:9090", lab.host(HOST));
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", lab.path("prometheus").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::start(&mut command, lab.dir(), "prometheus");
        let prometheus = Self { url: format!("http://{address}"), process, _lab: lab };
        wait_until("every node is scraped", START + SCRAPE, || {
            prometheus
                .get("/api/v1/query?query=up==1")
                .is_some_and(|answer| series(&answer).len() == cluster.members().len())
        });
        prometheus
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut answer = ureq::get(format!("{}{path}", self.url)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// Waits until one of the alerts fires with this label; its name.
    #[track_caller]
    pub(crate) fn wait_alert(&self, limit: Duration, alerts: &[&str], (label, value): (&str, &str)) -> String {
        let mut fired = None;
        let mut all = Value::Null;
        holds_within(limit, || {
            all = self.get("/api/v1/alerts").unwrap_or_default();
            let list = all["data"]["alerts"].as_array().cloned().unwrap_or_default();
            let is_it = |alert: &Value| {
                let name = alert["labels"]["alertname"].as_str().unwrap_or_default();
                alert["state"] == "firing" && alerts.contains(&name) && alert["labels"][label] == value
            };
            fired = list.iter().find(|alert| is_it(alert)).map(|alert| alert["labels"]["alertname"].clone());
            fired.is_some()
        });
        let fired = fired.and_then(|name| name.as_str().map(str::to_owned));
        fired.unwrap_or_else(|| {
            panic!("none of {alerts:?} with {label}={value} fired in {limit:?}: {all:#}\n{}", self.process.output())
        })
    }

    /// Whether a query has any value in the last `span`; an error of its text is one.
    pub(crate) fn has_data(&self, query: &str, span: Duration) -> Result<bool, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (start, step) = (now - span.as_secs(), SCRAPE.as_secs());
        let form = [
            ("query", query.to_owned()),
            ("start", start.to_string()),
            ("end", now.to_string()),
            ("step", step.to_string()),
        ];
        let answer = ureq::post(format!("{}/api/v1/query_range", self.url)).send_form(form);
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let is_number = |value: &Value| value[1].as_str().is_some_and(|value| value != "NaN");
        Ok(series(&answer).iter().any(|line| line["values"].as_array().is_some_and(|all| all.iter().any(is_number))))
    }
}

fn series(answer: &Value) -> Vec<Value> {
    answer["data"]["result"].as_array().cloned().unwrap_or_default()
}
