//! A measured figure beside its peer's and its limit, and the table of them all.

use serde::Serialize;
use std::fmt::Write;

/// Several measurements of one thing.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` where nothing was measured.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = [sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]];
        Some(Self { min, median: f64::midpoint(middle[0], middle[1]), max })
    }

    /// Of ours divided by the peer's, of samples that were taken in pairs.
    pub(crate) fn of_pairs(ours: &[f64], peer: &[f64]) -> Option<Self> {
        Self::of(&ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect::<Vec<_>>())
    }
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// Ours at most this many times the peer's.
    Ratio(f64),
    /// Ours at most this.
    AtMost(f64),
    /// Shown only.
    None,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<Spread>,
    pub(crate) peer: Option<Spread>,
    pub(crate) peer_name: &'static str,
    /// Ours divided by the peer's, of each pair of samples; absent where they are not pairs, and their medians are compared.
    pub(crate) pairs: Option<Spread>,
    pub(crate) limit: Limit,
}

impl Figure {
    /// Ours divided by the peer's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.pairs.map(|pairs| pairs.median).or_else(|| Some(self.ours?.median / self.peer?.median))
    }

    fn within(&self) -> Option<bool> {
        match self.limit {
            Limit::Ratio(limit) => Some(self.ratio()? <= limit),
            Limit::AtMost(limit) => Some(self.ours?.median <= limit),
            Limit::None => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.within() == Some(false)
    }
}

/// One line a figure.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "\n{:<42} {:<12} {:>26} {:>26} {:>7} {:>8}\n",
        "figure", "unit", "ours min/median/max", "peer min/median/max", "ratio", "limit"
    );
    for figure in figures {
        let verdict = match figure.within() {
            Some(true) => "ok",
            Some(false) => "OVER",
            None => "",
        };
        let limit = match figure.limit {
            Limit::Ratio(limit) => format!("{limit:.2}×"),
            Limit::AtMost(limit) => format!("{limit}"),
            Limit::None => String::new(),
        };
        let ratio = figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}×"));
        let peer = if figure.peer.is_some() { figure.peer_name } else { "" };
        let _ = writeln!(
            text,
            "{:<42} {:<12} {:>26} {:>26} {ratio:>7} {limit:>8} {verdict} {peer}",
            figure.name,
            figure.unit,
            spread(figure.ours),
            spread(figure.peer)
        );
    }
    text
}

fn spread(spread: Option<Spread>) -> String {
    let number = |value: f64| if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") };
    spread.map_or_else(
        || "not measured".into(),
        |spread| format!("{} / {} / {}", number(spread.min), number(spread.median), number(spread.max)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_its_limit_is_over() {
        let spread = |value| Spread::of(&[value * 2.0, value, value / 2.0]);
        let figure = |ours, limit| Figure {
            name: "x".into(),
            unit: "µs",
            ours: spread(ours),
            peer: spread(100.0),
            peer_name: "peer",
            pairs: None,
            limit,
        };
        assert!(figure(151.0, Limit::Ratio(1.5)).is_over());
        assert!(!figure(149.0, Limit::Ratio(1.5)).is_over());
        assert!(figure(25.0, Limit::AtMost(24.0)).is_over());
        assert!(table(&[figure(151.0, Limit::Ratio(1.5))]).contains("1.51×"));
        let paired = Figure { pairs: Spread::of(&[1.4, 1.6, 1.3, 1.5]), ..figure(151.0, Limit::Ratio(1.46)) };
        assert!(!paired.is_over() && paired.ratio().is_some_and(|ratio| (ratio - 1.45).abs() < 1e-9), "{paired:?}");
    }
}
