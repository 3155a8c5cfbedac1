//! What a call costs after minutes of calls, beside what it cost at first: whatever piles up in a node shows here.

use anyhow::Result;

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node};
use crate::signalling::{WARM, ends, spans};

/// Later a call may cost so many times what it costs at first. Half a minute beside another differs by an eighth where nothing piles
/// up; what this was made for was a factor of three.
const LIMIT: f64 = 1.2;
/// Calls a second.
const RATE: f64 = 1_000.0;
/// Seconds of calls: dozens of exports of records.
const LASTS: u64 = 180;
/// Seconds of each of the two that are compared.
const SPAN: u64 = 40;

/// One run, of a node alone.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("endurance: skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let folder = tempfile::tempdir()?;
    let node = Node::new(binary, folder.path(), options.core)?;
    let process = node.start()?;
    let (caller, callee) = ends();
    node.apply(&node::tables("bypass", caller, callee))?;
    let compared = [(WARM, WARM + SPAN), (LASTS - SPAN, LASTS)];
    let (costs, report) = spans(node::ADDRESS.parse()?, RATE, compared, || [process.cpu_us(), 0.0])?;
    let [first, last] = costs.map(|cost| cost[0]);
    eprintln!("  {first:.1} µs a call at first, {last:.1} after {LASTS} s, clean: {}", report.is_clean());
    Ok(vec![
        Figure {
            name: format!("CPU a call after {LASTS} s of calls ({RATE:.0}/s)"),
            unit: "µs",
            ours: Spread::of(&[last]),
            peer: Spread::of(&[first]),
            peer_name: "at first",
            pairs: None,
            limit: Limit::Ratio(LIMIT),
        },
        Figure {
            name: "calls that failed meanwhile, and messages sent again".into(),
            unit: "",
            ours: Spread::of(&[(report.failed + report.retransmissions_sent + report.retransmissions_seen) as f64]),
            peer: None,
            peer_name: "",
            pairs: None,
            limit: Limit::AtMost(0.0),
        },
    ])
}
