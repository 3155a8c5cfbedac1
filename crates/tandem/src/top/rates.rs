//! What has gone over each trunk lately, out of sums that each node counts since its start. Pure: the time is handed in.

use console::api::{Traffic, Trunk};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Over so long calls a second are counted.
const BRIEF: Duration = Duration::from_secs(10);
/// Over so long everything else is.
const LONG: Duration = Duration::from_secs(300);

/// One way of a trunk, over all nodes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Figures {
    /// Answered calls that are up.
    pub(super) active: i64,
    /// Calls or attempts a second; absent after a first look.
    pub(super) cps: Option<f64>,
    /// Answered of a hundred.
    pub(super) asr: Option<f64>,
    /// Seconds until ringing.
    pub(super) pdd: Option<f64>,
    /// Listening quality.
    pub(super) mos: Option<f64>,
}

/// The sums of one trunk at one node, ingress and egress.
type Sums = [Traffic; 2];

/// One look at all trunks: by trunk and node.
#[derive(Debug)]
struct Look {
    at: Instant,
    sums: BTreeMap<(String, String), Sums>,
}

/// The looks of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Rates {
    looks: VecDeque<Look>,
}

impl Rates {
    pub(super) fn take(&mut self, at: Instant, trunks: &[Trunk]) {
        let shares = trunks.iter().flat_map(|trunk| trunk.nodes.iter().map(|share| (&trunk.name, share)));
        let sums = shares
            .map(|(trunk, share)| ((trunk.clone(), share.node.clone()), [share.ingress.clone(), share.egress.clone()]))
            .collect();
        self.looks.push_back(Look { at, sums });
        while self.looks.get(1).is_some_and(|second| at.duration_since(second.at) >= LONG) {
            self.looks.pop_front();
        }
    }

    /// Over how long quality is counted; nothing before there are two looks: then it is since each node's start.
    pub(super) fn window(&self) -> Option<Duration> {
        let (first, last) = (self.looks.front()?, self.looks.back()?);
        Some(last.at.duration_since(first.at)).filter(|window| !window.is_zero())
    }

    /// Of a trunk, ingress and egress.
    pub(super) fn of(&self, trunk: &str) -> [Figures; 2] {
        [0, 1].map(|way| self.way(way, |name| name == trunk))
    }

    /// Of all trunks together.
    pub(super) fn total(&self) -> [Figures; 2] {
        [0, 1].map(|way| self.way(way, |_| true))
    }

    fn way(&self, way: usize, which: impl Fn(&str) -> bool) -> Figures {
        let Some(last) = self.looks.back() else { return Figures::default() };
        let mut former = self.looks.iter().rev().skip(1);
        let before = former.next().unwrap_or(last);
        let brief = former.take_while(|look| last.at.duration_since(look.at) <= BRIEF).last().unwrap_or(before);
        let now = || last.sums.iter().filter(|((trunk, _), _)| which(trunk));
        let since = |then: Option<&Look>| {
            now().fold(Traffic::default(), |sum, (key, sums)| {
                plus(sum, &minus(&sums[way], then.and_then(|look| look.sums.get(key)).map(|sums| &sums[way])))
            })
        };
        let elapsed = last.at.duration_since(brief.at).as_secs_f64();
        let lately = since(Some(brief)).attempts;
        let long = since(self.looks.front().filter(|first| first.at < last.at));
        // Quiet lately: what was before is better than nothing.
        let long = if long.attempts == 0 && long.heard == 0 { since(None) } else { long };
        Figures {
            active: now().map(|(_, sums)| sums[way].active).sum(),
            cps: (elapsed > 0.0).then(|| lately as f64 / elapsed),
            asr: share(long.answered, long.attempts).map(|share| share * 100.0),
            pdd: share(long.pdd_ms_sum, long.rang).map(|ms| ms / 1000.0),
            mos: share(long.mos_milli_sum, long.heard).map(|milli| milli / 1000.0),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What came since then. A node that was started anew counts from nought, and what it has is all that came.
fn minus(now: &Traffic, then: Option<&Traffic>) -> Traffic {
    let then = then.filter(|then| then.attempts <= now.attempts && then.heard <= now.heard && then.rang <= now.rang);
    let Some(then) = then else { return now.clone() };
    Traffic {
        active: now.active,
        attempts: now.attempts - then.attempts,
        answered: now.answered.saturating_sub(then.answered),
        rang: now.rang - then.rang,
        pdd_ms_sum: now.pdd_ms_sum.saturating_sub(then.pdd_ms_sum),
        heard: now.heard - then.heard,
        mos_milli_sum: now.mos_milli_sum.saturating_sub(then.mos_milli_sum),
    }
}

fn plus(one: Traffic, other: &Traffic) -> Traffic {
    Traffic {
        active: one.active + other.active,
        attempts: one.attempts + other.attempts,
        answered: one.answered + other.answered,
        rang: one.rang + other.rang,
        pdd_ms_sum: one.pdd_ms_sum + other.pdd_ms_sum,
        heard: one.heard + other.heard,
        mos_milli_sum: one.mos_milli_sum + other.mos_milli_sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::api::Share;

    fn trunk(node: &str, egress: Traffic) -> Trunk {
        let share = Share { node: node.into(), egress, ..Share::default() };
        Trunk { name: "alpha".into(), nodes: vec![share], ..Trunk::default() }
    }

    fn traffic(attempts: u64, answered: u64) -> Traffic {
        let (rang, heard) = (attempts, answered);
        Traffic { active: 3, attempts, answered, rang, pdd_ms_sum: rang * 1500, heard, mos_milli_sum: heard * 4200 }
    }

    #[test]
    fn a_first_look_shows_what_was_since_the_start_and_no_rate() {
        let mut rates = Rates::default();
        rates.take(Instant::now(), &[trunk("fra-1", traffic(100, 40))]);
        let [ingress, egress] = rates.of("alpha");
        assert_eq!(
            (egress.active, egress.cps, egress.asr, egress.pdd, egress.mos),
            (3, None, Some(40.0), Some(1.5), Some(4.2))
        );
        assert_eq!((ingress.asr, rates.of("beta")[1]), (None, Figures::default()));
    }

    #[test]
    fn rates_are_of_the_last_ten_seconds_and_shares_of_the_last_minutes() {
        let (mut rates, began) = (Rates::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        rates.take(at(0), &[trunk("fra-1", traffic(1_000, 0))]);
        for step in 1..=10 {
            rates.take(at(step * 2), &[trunk("fra-1", traffic(1_000 + step * 8, step * 6))]);
        }
        let egress = rates.of("alpha")[1];
        assert_eq!((egress.cps, egress.asr), (Some(4.0), Some(75.0)), "nothing of the thousand before");
        for minute in 1..=20 {
            rates.take(at(60 * minute), &[trunk("fra-1", traffic(1_080, 60))]);
        }
        assert!(rates.looks.len() < 8, "old looks go: {}", rates.looks.len());
        assert_eq!(rates.of("alpha")[1].cps, Some(0.0));
    }

    #[test]
    fn a_node_that_starts_anew_counts_from_nought_and_others_go_on() {
        let (mut rates, began) = (Rates::default(), Instant::now());
        let both = |one, other| {
            let mut all = trunk("fra-1", traffic(one, one));
            all.nodes.extend(trunk("lon-1", traffic(other, 0)).nodes);
            [all]
        };
        rates.take(began, &both(500, 500));
        rates.take(began + Duration::from_secs(10), &both(20, 520));
        assert_eq!(rates.of("alpha")[1].cps, Some(4.0), "20 and 20 in ten seconds");
        assert_eq!(rates.total()[1].active, 6);
    }
}
