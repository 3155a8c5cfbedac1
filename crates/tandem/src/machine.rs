//! What the machine of a node has left: the space of its disk, and the life of its certificates.

use console::Sample;
use std::path::{Path, PathBuf};
use x509_parser::pem::Pem;

/// See the module.
pub(crate) struct Machine {
    data_dir: PathBuf,
    /// Each file, and when the first certificate in it ends.
    certificates: Vec<(PathBuf, i64)>,
}

impl Machine {
    /// Reads the files now, as the node has just done: a newer file counts only once the node is started with it.
    pub(crate) fn new<'a>(data_dir: &Path, certificates: impl Iterator<Item = &'a PathBuf>) -> Self {
        let ends = |path: &'a PathBuf| Some((path.clone(), end_of(&std::fs::read(path).ok()?)?));
        Self { data_dir: data_dir.to_owned(), certificates: certificates.filter_map(ends).collect() }
    }

    /// The figures of now. A disk that does not answer is left out.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut all = Vec::new();
        let path = self.data_dir.to_string_lossy();
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            // What is kept back for root is not free to the node, and not part of what it can fill.
            let (free, kept) = (disk.f_bavail, disk.f_bfree.saturating_sub(disk.f_bavail));
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize) as f64;
            let labels = [("path", &*path)];
            all.push(Sample::new("tandem_disk_free_bytes", &labels, bytes(free)));
            all.push(Sample::new("tandem_disk_size_bytes", &labels, bytes(disk.f_blocks.saturating_sub(kept))));
        }
        all.extend(self.certificates.iter().map(|(file, ends)| {
            let labels = [("file", &*file.to_string_lossy())];
            Sample::new("tandem_certificate_expiry_timestamp_seconds", &labels, *ends as f64)
        }));
        all
    }
}

/// When the first certificate of a PEM file ends, in seconds since 1970.
fn end_of(pem: &[u8]) -> Option<i64> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    blocks.filter_map(|block| Some(block.parse_x509().ok()?.validity().not_after.timestamp())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(ends: i32) -> String {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").pem()
    }

    #[test]
    fn the_disk_and_each_certificate_are_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("ca.pem");
        // Two authorities: the one of the cluster ends first.
        std::fs::write(&file, certificate(2035) + &certificate(2031)).expect("written");
        let machine = Machine::new(dir.path(), [file.clone(), dir.path().join("missing.pem")].iter());
        let samples = machine.samples();
        let (path, file) = (dir.path().to_string_lossy(), file.to_string_lossy());
        assert_eq!(samples.len(), 3, "{samples:?}");
        let text = format!("{samples:?}");
        assert!(text.contains(&*path) && text.contains(&*file), "{text}");
        let end = Sample::new("tandem_certificate_expiry_timestamp_seconds", &[("file", &file)], 1_924_992_000.0);
        assert_eq!(samples[2], end);
    }
}
