//! Call records as the node's CSV files hold them.

use std::path::Path;

use serde::Deserialize;

/// One row: an attempt of a call, or with `last` its final one. Only the columns that tests look at.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the columns are described once, with the interface")]
pub struct Cdr {
    pub id: String,
    pub call_id: String,
    pub attempt: u32,
    /// The column `final`.
    #[serde(rename = "final")]
    pub last: bool,
    pub node: String,
    pub started: String,
    pub answered: String,
    pub ended: String,
    pub duration_ms: Option<u64>,
    pub ingress_trunk: String,
    pub egress_trunk: String,
    pub called_in: String,
    pub called_out: String,
    pub sip_code: Option<u16>,
    pub ended_by: String,
    pub reason: String,
    pub codec: String,
    pub ingress_call_id: String,
    pub egress_call_id: String,
}

impl Cdr {
    /// Whether the call was answered.
    pub fn is_answered(&self) -> bool {
        !self.answered.is_empty()
    }
}

/// All rows of all closed files in `folder`, oldest file first.
pub fn read(folder: &Path) -> Vec<Cdr> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    files.iter().flat_map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Vec<Cdr> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = reader.deserialize().collect::<Result<Vec<Cdr>, _>>();
    rows.unwrap_or_else(|error| panic!("{}: a closed file must be whole: {error}", path.display()))
}
