//! The live view: a few lines that are drawn over each other on a terminal, and one line a frame elsewhere.

use super::partners::Partners;
use super::stage::Stage;
use crate::logging::say;
use load::Snapshot;
use serde_json::Value;
use std::io::IsTerminal as _;
use std::time::Duration;

/// What is shown at one moment.
pub(super) struct Frame {
    elapsed: Duration,
    partners: Snapshot,
    trunks: Vec<(String, u64)>,
}

impl Frame {
    /// Asks everyone how things stand.
    pub(super) fn take(partners: &Partners, stage: &Stage, elapsed: Duration) -> Self {
        let trunks =
            stage.get("trunks").and_then(|answer| crate::client::rows(answer, "trunks").ok()).unwrap_or_default();
        let used = |row: &Value| {
            Some((row.get("name")?.as_str()?.to_owned(), row.get("channels_used").and_then(Value::as_u64).unwrap_or(0)))
        };
        Self { elapsed, partners: partners.snapshot(), trunks: trunks.iter().filter_map(used).collect() }
    }

    fn lines(&self) -> Vec<String> {
        let p = &self.partners;
        let mut lines = vec![
            format!(
                "{:>5.1} s  calls: {} placed, {} up, {} answered, {} ended, {} refused as meant, {} failed",
                self.elapsed.as_secs_f64(),
                p.offered,
                p.in_flight,
                p.answered,
                p.completed,
                p.refused,
                p.failed
            ),
            format!(
                "         audio: {} legs hear each other; packets {} sent, {} received, {} lost; {} wrong samples; longest gap {} ms",
                p.legs_hearing, p.packets_sent, p.packets_received, p.packets_lost, p.bad_samples, p.longest_gap_ms
            ),
        ];
        for (name, used) in &self.trunks {
            let bar = "#".repeat(usize::try_from((*used).min(60)).unwrap_or(0));
            lines.push(format!("         {name:<10} {used:>4} channels {bar}"));
        }
        lines
    }
}

/// Draws frames.
#[derive(Default)]
pub(super) struct View {
    drawn: usize,
    frames: usize,
}

impl View {
    /// Draws one; on something that is no terminal, every other second's first line.
    pub(super) fn draw(&mut self, frame: &Frame) {
        let lines = frame.lines();
        self.frames += 1;
        if !std::io::stdout().is_terminal() {
            if self.frames % 4 == 1 {
                lines.iter().take(2).for_each(|line| say(line));
            }
            return;
        }
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        self.drawn = lines.len();
        let body: Vec<String> = lines.iter().map(|line| format!("\x1b[2K{line}")).collect();
        say(&format!("{up}{}", body.join("\n")));
    }

    /// Ends the view, so that what follows stands below it.
    pub(super) fn finish(&mut self) {
        self.drawn = 0;
        say("");
    }
}
