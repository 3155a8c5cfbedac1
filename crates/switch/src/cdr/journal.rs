//! The journal of recent changes: segments of records behind each other, which survive the process once they are written and the
//! machine once they are synced. It does not know what a change means.
//!
//! A record is its length and its CRC-32, four bytes each, little-endian, and then its changes. A segment is read up to the first
//! record that is not whole; what lies behind that was not synced, since whatever is synced lies before it.

use super::store::Op;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a segment is called, behind its number.
const SUFFIX: &str = "journal";
/// What one is called of which a part could not be read.
const DAMAGED: &str = "damaged";
/// Length and checksum.
const HEAD: usize = 8;

/// The segment that is written.
pub(super) struct Journal {
    number: u64,
    file: Arc<File>,
    /// Bytes that are whole records.
    length: u64,
    /// A record is there in part and could not be taken back: nothing may be written behind it.
    is_torn: bool,
    /// The next record, kept for its room.
    record: Vec<u8>,
}

/// What the segments of an earlier process hold.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ops: Vec<Op>,
    /// The highest number of a segment.
    pub(super) last: u64,
    /// Bytes that could not be read.
    pub(super) lost: u64,
}

impl Journal {
    /// Begins a segment.
    pub(super) fn begin(folder: &Path, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path(folder, number))?;
        // Its name outlives the machine as well.
        File::open(folder)?.sync_all()?;
        Ok(Self { number, file: Arc::new(file), length: 0, is_torn: false, record: Vec::new() })
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0 && !self.is_torn
    }

    /// What has to be synced.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Writes a record: all of it or nothing.
    pub(super) fn append(&mut self, ops: &[Op]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("the journal ends in a record that is not whole"));
        }
        encode(&mut self.record, ops)?;
        match (&*self.file).write_all(&self.record) {
            Ok(()) => {
                self.length += self.record.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    /// Removes the segments before this number.
    pub(super) fn drop_before(folder: &Path, number: u64) -> io::Result<()> {
        for (_, path) in segments(folder)?.into_iter().take_while(|(former, _)| *former < number) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// What earlier processes have written and not moved elsewhere, in its order. Segments stay where they are.
    pub(super) fn read(folder: &Path) -> io::Result<Found> {
        let mut found = Found::default();
        for (number, path) in segments(folder)? {
            found.last = number;
            let bytes = fs::read(&path)?;
            // What follows was written later than what is lost.
            let whole = if found.lost == 0 { decode(&bytes, &mut found.ops) } else { 0 };
            if whole < bytes.len() {
                found.lost += (bytes.len() - whole) as u64;
                fs::copy(&path, path.with_extension(DAMAGED))?;
            }
        }
        Ok(found)
    }
}

/// The segments of a folder by their numbers.
fn segments(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == SUFFIX);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|_| is_segment);
        all.extend(number.map(|number: u64| (number, path)));
    }
    Ok(all)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.{SUFFIX}"))
}

fn encode(record: &mut Vec<u8>, ops: &[Op]) -> io::Result<()> {
    record.clear();
    record.extend([0; HEAD]);
    for op in ops {
        let (kind, key, value): (u8, _, Option<&Vec<u8>>) = match op {
            Op::Put(key, value) => (0, key, Some(value)),
            Op::Delete(key) => (1, key, None),
            Op::DeleteRange(from, to) => (2, from, Some(to)),
        };
        record.push(kind);
        for part in std::iter::once(key).chain(value) {
            record.extend(length_of(part.len())?);
            record.extend_from_slice(part);
        }
    }
    let length = length_of(record.len() - HEAD)?;
    let sum = crc32fast::hash(&record[HEAD..]).to_le_bytes();
    record[..4].copy_from_slice(&length);
    record[4..HEAD].copy_from_slice(&sum);
    Ok(())
}

fn length_of(bytes: usize) -> io::Result<[u8; 4]> {
    u32::try_from(bytes).map(u32::to_le_bytes).map_err(io::Error::other)
}

/// Reads records up to the first that is not whole; how many bytes those are.
fn decode(bytes: &[u8], ops: &mut Vec<Op>) -> usize {
    let mut whole = 0;
    while let Some(content) = record(&bytes[whole..]) {
        let before = ops.len();
        if read(content, ops).is_none() {
            ops.truncate(before);
            break;
        }
        whole += HEAD + content.len();
    }
    whole
}

/// The changes of the first record.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, content) = bytes.get(4..)?.split_first_chunk()?;
    let (length, _) = bytes.split_first_chunk()?;
    let content = content.get(..u32::from_le_bytes(*length) as usize)?;
    (!content.is_empty() && crc32fast::hash(content) == u32::from_le_bytes(*sum)).then_some(content)
}

fn read(mut content: &[u8], ops: &mut Vec<Op>) -> Option<()> {
    while let Some((kind, rest)) = content.split_first() {
        let (key, rest) = part(rest)?;
        let op;
        (op, content) = match kind {
            0 => part(rest).map(|(value, rest)| (Op::Put(key, value), rest))?,
            1 => (Op::Delete(key), rest),
            2 => part(rest).map(|(to, rest)| (Op::DeleteRange(key, to), rest))?,
            _ => return None,
        };
        ops.push(op);
    }
    Some(())
}

fn part(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((part.to_vec(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(number: u8) -> Vec<Op> {
        vec![
            Op::Put(vec![b'o', number], vec![number; usize::from(number) * 50]),
            Op::Delete(vec![b'r', number]),
            Op::DeleteRange(b"k".to_vec(), vec![b'k', number]),
        ]
    }

    fn all(numbers: std::ops::Range<u8>) -> Vec<Op> {
        numbers.flat_map(ops).collect()
    }

    #[test]
    fn segments_are_read_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in [9, 10, 11_u8] {
            let mut journal = Journal::begin(folder.path(), u64::from(number)).expect("begins");
            assert!(journal.is_empty());
            journal.append(&ops(number)).expect("written");
        }
        let found = Journal::read(folder.path()).expect("reads");
        assert_eq!((found.ops, found.last, found.lost), (all(9..12), 11, 0));
        drop(Journal::begin(folder.path(), 12).expect("begins"));
        Journal::drop_before(folder.path(), 12).expect("removed");
        let found = Journal::read(folder.path()).expect("reads");
        assert_eq!((found.ops, found.last), (Vec::new(), 12));
        assert!(Journal::begin(folder.path(), 12).is_err(), "no segment is written twice");
    }

    /// Whatever a machine that died has left of the last record, and whatever is damaged.
    #[test]
    fn a_segment_is_read_up_to_the_first_record_that_is_not_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::begin(folder.path(), 1).expect("begins");
        let mut ends = vec![0];
        for number in 0..4 {
            journal.append(&ops(number)).expect("written");
            ends.push(usize::try_from(journal.length).expect("small"));
        }
        let file = path(folder.path(), 1);
        let bytes = fs::read(&file).expect("reads");
        let whole = |at: usize| ends.iter().filter(|end| **end <= at).count() - 1;
        for cut in 0..bytes.len() {
            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x10;
            for damaged in [&bytes[..cut], &zeroed, &flipped] {
                let mut found = Vec::new();
                let length = decode(damaged, &mut found);
                let records = whole(length);
                assert_eq!(found, all(0..u8::try_from(records).expect("few")), "cut at {cut}");
                assert!(records >= whole(cut), "cut at {cut}");
            }
        }
        fs::write(&file, &bytes[..ends[2] + 3]).expect("written");
        let mut second = Journal::begin(folder.path(), 2).expect("begins");
        second.append(&ops(7)).expect("written");
        let found = Journal::read(folder.path()).expect("reads");
        assert_eq!(found.ops, all(0..2), "what was written after something lost is not read without it");
        assert_eq!(found.lost, 3 + second.length);
        let kept = |number| fs::read(path(folder.path(), number).with_extension(DAMAGED)).expect("kept").len();
        assert_eq!((kept(1), kept(2) as u64), (ends[2] + 3, second.length));
    }

    /// A disk that takes only a part of a record leaves the journal as it was before.
    #[test]
    fn a_record_that_does_not_fit_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::begin(folder.path(), 1).expect("begins");
        journal.append(&ops(1)).expect("written");
        let file = Arc::clone(&journal.file);
        journal.file = Arc::new(File::open("/dev/full").expect("there"));
        journal.append(&ops(2)).expect_err("it is open for reading");
        assert!(journal.is_torn, "what cannot be taken back is not written behind");
        journal.file = file;
        journal.append(&ops(3)).expect_err("torn");
        journal.is_torn = false;
        // As if a part had been written.
        (&*journal.file).write_all(b"part").expect("written");
        journal.file.set_len(journal.length).expect("taken back");
        journal.append(&ops(4)).expect("written");
        let found = Journal::read(folder.path()).expect("reads");
        assert_eq!((found.ops, found.lost), ([ops(1), ops(4)].concat(), 0));
    }
}
