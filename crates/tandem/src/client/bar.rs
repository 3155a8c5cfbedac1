//! Progress of something long: a bar that is drawn over itself on a terminal, a line now and then elsewhere. Always on
//! standard error, so that an answer on standard output can be piped.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Characters of the bar.
const WIDTH: usize = 30;
/// How often a line is written where there is no terminal, beside one for each stage.
const LINES: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Step {
    /// What is done now.
    pub stage: String,
    /// Of this stage, 0 to 1; absent where nobody knows.
    pub share: Option<f64>,
    /// In words.
    pub detail: String,
}

/// Draws steps.
pub(super) struct Bar {
    terminal: bool,
    began: Instant,
    stage: String,
    said: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), began: Instant::now(), stage: String::new(), said: None }
    }

    /// Shows a step.
    pub(super) fn draw(&mut self, step: &Step) {
        let text = line(step, self.began.elapsed());
        if self.terminal {
            return write(&format!("\r\x1b[2K{text}"));
        }
        let due = self.said.is_none_or(|said| said.elapsed() >= LINES);
        if due || self.stage != step.stage {
            self.said = Some(Instant::now());
            self.stage.clone_from(&step.stage);
            write(&format!("{text}\n"));
        }
    }

    /// Leaves the line to whoever writes next.
    pub(super) fn clear(&self) {
        if self.terminal {
            write("\r\x1b[2K");
        }
    }
}

/// A standard error that has gone away is no error of ours.
fn write(text: &str) {
    let mut error = std::io::stderr();
    let _ = error.write_all(text.as_bytes());
    let _ = error.flush();
}

fn line(step: &Step, elapsed: Duration) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the width of the bar")]
    let filled = step.share.map(|share| (share.clamp(0.0, 1.0) * WIDTH as f64) as usize);
    let bar = filled.map_or(" ".repeat(WIDTH), |filled| "█".repeat(filled) + &"░".repeat(WIDTH - filled));
    let share = step.share.map_or("    ".to_owned(), |share| format!("{:>3.0}%", share.clamp(0.0, 1.0) * 100.0));
    format!("{:<9}{bar} {share}  {}  {:.0} s", step.stage, step.detail, elapsed.as_secs_f64())
}

/// With a mark between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_share() {
        let step = |share| Step { stage: "reading".into(), share, detail: "4 MB".into() };
        let shown = line(&step(Some(0.5)), Duration::from_secs(7));
        assert_eq!(shown.matches('█').count(), WIDTH / 2);
        assert!(shown.starts_with("reading  █") && shown.ends_with(" 50%  4 MB  7 s"), "{shown}");
        assert_eq!(line(&step(Some(7.0)), Duration::ZERO).matches('█').count(), WIDTH);
        assert_eq!(line(&step(None), Duration::ZERO).matches('░').count(), 0);
        let longest = Step { detail: "1,073,741,824 bytes, 10,000,000 rows".into(), ..step(Some(1.0)) };
        assert!(line(&longest, Duration::from_secs(900)).chars().count() <= 100);
    }

    #[test]
    fn thousands_are_marked() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
