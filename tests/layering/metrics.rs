//! Every metric that the code counts is explained where `/metrics` is made: one without a word of help is of no use at night.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{crates, rust_files};

/// What a metric is counted by.
const MACROS: [&str; 4] = ["counter!(\"", "gauge!(\"", "histogram!(\"", "Sample::new(\""];

fn counted(source: &str) -> impl Iterator<Item = &str> {
    let named =
        move |macro_name: &'static str| source.split(macro_name).skip(1).filter_map(|rest| rest.split('"').next());
    MACROS.into_iter().flat_map(named).filter(|name| name.starts_with("tandem_"))
}

#[test]
fn every_metric_has_its_meaning() {
    let read =
        |file: &str| fs::read_to_string(crates().join("console/src").join(file)).expect("where metrics are explained");
    let explained = read("recorder.rs") + &read("sample.rs");
    let mut unexplained = BTreeSet::new();
    let mut seen = 0;
    for file in rust_files(&crates()) {
        let source = fs::read_to_string(&file).expect("readable");
        for name in counted(&source) {
            seen += 1;
            if !explained.contains(&format!("\"{name}\",")) {
                unexplained.insert(format!("{name} ({})", file.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} metrics were found: the test looks for the wrong words");
    assert!(
        unexplained.is_empty(),
        "say in recorder.rs or sample.rs of crates/console/src what these mean: {unexplained:#?}"
    );
}
