//! `tandem cluster drain` and `undrain`: empties a node while its calls go on elsewhere.

use super::Client;
use super::bar::{Bar, Step};
use crate::logging::say;
use anyhow::bail;
use console::api;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// `tandem cluster drain NODE`: returns when no call and no shard is left on it.
///
/// # Errors
/// The node that is asked cannot be reached, there is no such node, no other one can take its calls, or it takes too long.
pub(crate) fn drain(client: &Client, name: &str, patience: Duration) -> anyhow::Result<ExitCode> {
    client.send("POST", "cluster/drain", &json!({ "node": name, "draining": true }))?;
    let (began, mut bar, mut most) = (Instant::now(), Bar::new(), 0);
    loop {
        let cluster: api::Cluster = serde_json::from_value(client.get("cluster")?)?;
        let Some(member) = cluster.nodes.iter().find(|member| member.name == name) else {
            bail!("`{name}` is not in the cluster any more");
        };
        let left = member.calls.unwrap_or(0);
        if member.calls == Some(0) && member.shards_owned == 0 {
            bar.clear();
            break;
        }
        if member.state == "down" || member.state == "fenced" {
            bail!("`{name}` is {}: its calls go on from the other nodes, and it can be stopped", member.state);
        }
        most = most.max(left);
        bar.draw(&step(left, most, member.shards_owned));
        if began.elapsed() > patience {
            bar.clear();
            bail!("`{name}` still carries {left} calls after {} s; it goes on to drain", patience.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    let seconds = began.elapsed().as_secs_f64();
    if client.json {
        say(&json!({ "drained": name, "seconds": seconds }).to_string());
    } else {
        say(&format!("{name} carries no call any more, after {seconds:.1} s; it can be stopped"));
    }
    Ok(ExitCode::SUCCESS)
}

fn step(left: u64, most: u64, shards: u16) -> Step {
    #[allow(clippy::cast_precision_loss, reason = "a share for the eye")]
    let share = (most > 0).then(|| 1.0 - left as f64 / most as f64);
    Step { stage: "draining".to_owned(), share, detail: format!("{left} calls and {shards} shards left") }
}

/// `tandem cluster undrain NODE`
///
/// # Errors
/// The node that is asked cannot be reached, or there is no such node.
pub(crate) fn undrain(client: &Client, name: &str) -> anyhow::Result<ExitCode> {
    client.send("POST", "cluster/drain", &json!({ "node": name, "draining": false }))?;
    if client.json {
        say(&json!({ "undrained": name }).to_string());
    } else {
        say(&format!("{name} takes part again; it gets its share of calls and shards by and by"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_by_the_calls_that_are_left() {
        assert_eq!(step(0, 0, 3).share, None, "nobody knows yet");
        assert_eq!((step(25, 100, 0).share, step(0, 100, 0).share), (Some(0.75), Some(1.0)));
        assert_eq!(step(2, 4, 1).detail, "2 calls and 1 shards left");
    }
}
