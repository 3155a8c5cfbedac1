//! The whole state as one stream of bytes, taken at one moment while writing goes on, and put in the place of another.
//!
//! A record is a family, the lengths of key and value, key and value. What belongs to one node alone (log, vote,
//! identity) is not in it.

use super::{APPLIED_KEY, MEMBERS_KEY, Replica};
use crate::Error;
use crate::raft::{Id, Members};
use crate::store::{Batch, Family, HEAD_KEY};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What travels.
const FAMILIES: [Family; 5] = [Family::Rows, Family::History, Family::Changes, Family::Cluster, Family::Staged];
/// A record longer than this is no record.
const LONGEST: u32 = 1 << 30;

/// A snapshot that has come in whole.
#[derive(Debug)]
pub(crate) enum Received {
    /// In a file, which is removed once it is installed.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// A snapshot that goes out.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) body: Received,
    pub(crate) length: u64,
    pub(crate) crc: u32,
    /// The last entry that is in it.
    pub(crate) applied: Option<Id>,
    /// Who voted and listened then.
    pub(crate) members: Members,
}

impl Replica {
    /// Takes a snapshot: into a file under `dir`, or in memory. Blocks.
    pub(crate) fn take_snapshot(&self, name: &str) -> Result<Taken, Error> {
        let Some(dir) = self.engine.snapshot_dir() else {
            let mut summed = Summed::new(Vec::new());
            let (applied, members) = self.dump(&mut summed)?;
            let (length, crc) = (summed.length, summed.crc.clone().finalize());
            return Ok(Taken { body: Received::Bytes(summed.to), length, crc, applied, members });
        };
        let path = dir.join(name);
        let refused = |source| Error::File { path: path.clone(), source };
        std::fs::create_dir_all(&dir).map_err(refused)?;
        let mut summed = Summed::new(BufWriter::new(File::create(&path).map_err(refused)?));
        let (applied, members) = self.dump(&mut summed)?;
        summed.to.flush().map_err(refused)?;
        let (length, crc) = (summed.length, summed.crc.clone().finalize());
        Ok(Taken { body: Received::File(path), length, crc, applied, members })
    }

    fn dump(&self, to: &mut Summed<impl Write>) -> Result<(Option<Id>, Members), Error> {
        let engine = &self.engine;
        let (mut applied, mut members) = (None, Members::default());
        let read = |error: serde_json::Error| engine.broken(format!("what is applied: {error}"));
        let mut families = FAMILIES.to_vec();
        families.push(Family::Meta);
        // Never in the middle of a revision that is written in many batches.
        engine.dump(&families, self.state(), |family, key, value| {
            if family == Family::Meta && key != HEAD_KEY {
                return Ok(());
            }
            if family == Family::Cluster && key == APPLIED_KEY {
                applied = serde_json::from_slice(value).map_err(read)?;
            }
            if family == Family::Cluster && key == MEMBERS_KEY {
                members = serde_json::from_slice(value).map_err(read)?;
            }
            record(to, family, key, value).map_err(|source| Error::File { path: engine.dir().to_path_buf(), source })
        })?;
        Ok((applied, members))
    }

    /// Puts a snapshot in the place of everything, in one batch: a crash leaves the old state or the new one. Blocks.
    pub(crate) fn install_snapshot(&self, received: Received) -> Result<(), Error> {
        let mut batch = Batch::default();
        FAMILIES.into_iter().for_each(|family| batch.delete_all(family));
        match &received {
            Received::Bytes(bytes) => self.read_records(&mut bytes.as_slice(), &mut batch)?,
            Received::File(path) => {
                let file = File::open(path).map_err(|source| Error::File { path: path.clone(), source })?;
                self.read_records(&mut BufReader::with_capacity(1 << 20, file), &mut batch)?;
            }
        }
        self.engine.write(batch, true)?;
        self.reload()?;
        if let Received::File(path) = &received {
            remove(path);
        }
        Ok(())
    }

    fn read_records(&self, from: &mut impl Read, batch: &mut Batch) -> Result<(), Error> {
        let broken = |what: String| self.engine.broken(format!("a snapshot: {what}"));
        let mut head = [0; 9];
        loop {
            // The checksum was right, so an end in the middle is a fault of whoever wrote it.
            match from.read(&mut head[..1]) {
                Ok(0) => return Ok(()),
                Ok(_) => from.read_exact(&mut head[1..]).map_err(|error| broken(error.to_string()))?,
                Err(error) => return Err(broken(error.to_string())),
            }
            let length = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let family = Family::of_code(head[0]).ok_or_else(|| broken(format!("family {}", head[0])))?;
            let mut part = |length: u32| {
                let mut bytes = vec![0; length.min(LONGEST) as usize];
                from.read_exact(&mut bytes).map(|()| bytes).map_err(|error| broken(error.to_string()))
            };
            let (key, value) = (part(length(1))?, part(length(5))?);
            batch.put(family, key, value);
        }
    }
}

/// Removes a snapshot that is no longer needed; what stays behind goes at the next start.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "tables: a snapshot could not be removed");
    }
}

fn record(to: &mut Summed<impl Write>, family: Family, key: &[u8], value: &[u8]) -> std::io::Result<()> {
    let length = |part: &[u8]| u32::try_from(part.len()).map(u32::to_be_bytes).map_err(std::io::Error::other);
    to.write_all(&[family as u8])?;
    to.write_all(&length(key)?)?;
    to.write_all(&length(value)?)?;
    to.write_all(key)?;
    to.write_all(value)
}

/// Counts and sums what passes.
struct Summed<W> {
    to: W,
    length: u64,
    crc: crc32fast::Hasher,
}

impl<W> Summed<W> {
    fn new(to: W) -> Self {
        Self { to, length: 0, crc: crc32fast::Hasher::new() }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.length += written as u64;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, RequestId};
    use crate::history::RevisionInfo;
    use crate::replica::Load;
    use crate::store::Engine;
    use crate::{Options, Storage};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Rows of a revision: several batches.
    const ROWS: u64 = 120_000;
    const PIECES: u64 = 60;
    const REVISIONS: u64 = 4;

    /// The entries of an import that sets all rows to this revision's.
    fn import(revision: u64) -> Vec<Command> {
        let import = RequestId { process: 1, number: revision };
        let piece = |piece: u64| {
            let number = |row: u64| 44_700_000_000 + piece * (ROWS / PIECES) + row;
            let row =
                |row| format!("{{\"Ported\":{{\"number\":\"+{}\",\"lrn\":\"+{}\"}}}}", number(row), 100 + revision);
            let rows: Vec<String> = (0..ROWS / PIECES).map(row).collect();
            let body = format!("{{\"put\":[{}],\"delete\":[]}}", rows.join(",")).into();
            Command::Stage { import, piece: piece as u32, length: 0, body }
        };
        let (who, comment, at) = Default::default();
        let (added, changed, deleted, rollback_to) = (0, 0, 0, None);
        let info = RevisionInfo { revision, at, who, comment, added, changed, deleted, rollback_to };
        let id = RequestId { process: 2, number: revision };
        let commit = Command::CommitStaged { id, import, pieces: PIECES as u32, base: revision - 1, info };
        (0..PIECES).map(piece).chain([commit]).collect()
    }

    #[test]
    fn a_snapshot_never_shows_a_revision_that_is_being_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options::new(folder.path());
        let engine = Arc::new(Engine::open(&Storage::Disk(folder.path().into())).expect("a store"));
        let replica = Replica::open(engine, &options).expect("an empty one");
        let leader = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: 1 };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let entries = (1..=REVISIONS).flat_map(import);
                for (index, command) in (1..).zip(entries) {
                    let id = Id::new(leader, index);
                    replica.apply(vec![(id, Load::Command(command))]).expect("it is applied");
                }
                done.store(true, Ordering::SeqCst);
            });
            let mut taken = 0;
            while !done.load(Ordering::SeqCst) || taken == 0 {
                let snapshot = replica.take_snapshot("to-2").expect("it is taken");
                let empty = Arc::new(Engine::open(&Storage::Memory).expect("memory"));
                let other = Replica::open(empty, &options).expect("an empty one");
                other.install_snapshot(snapshot.body).expect("it is whole");
                let (revision, state) = (other.publisher.view().revision, other.state());
                let lrns = state.tables.ported().iter().map(|row| row.lrn.to_string());
                assert!(
                    lrns.into_iter().all(|lrn| lrn == format!("+{}", 100 + revision)),
                    "rows of revision {revision}"
                );
                taken += 1;
            }
        });
        assert_eq!(replica.publisher.view().revision, REVISIONS);
    }
}
