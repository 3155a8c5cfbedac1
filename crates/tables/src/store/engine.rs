//! Keys and values in families: RocksDB in a folder, or maps in memory. A batch is there whole or not at all.
//!
//! Knows nothing of what is stored. After a write that failed nothing more is written before the engine is opened again.

use super::folder::Folder;
use super::shelf::Shelf;
use crate::calm::breathe;
use crate::{Error, Storage};
use parking_lot::RwLock;
use rocksdb::{DB, FlushOptions, IngestExternalFileOptions, ReadOptions, SstFileWriter, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is kept apart. Its number is written into snapshots and never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Family {
    /// Rows by [`routing::RowKey::to_bytes`].
    Rows = 0,
    /// [`crate::RevisionInfo`] by revision.
    History = 1,
    /// The rows of each change and of its inverse, in pieces.
    Changes = 2,
    /// The format, the head, and what Raft and the identity need besides the log.
    Meta = 3,
    /// Raft's log by index.
    Log = 4,
    /// The cluster's own tables, what Raft has applied, the answers already given.
    Cluster = 5,
    /// Imports that are not committed, in pieces.
    Staged = 6,
}

impl Family {
    pub(crate) const ALL: [Self; 7] =
        [Self::Rows, Self::History, Self::Changes, Self::Meta, Self::Log, Self::Cluster, Self::Staged];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::History => "history",
            Self::Changes => "changes",
            Self::Meta => "meta",
            Self::Log => "log",
            Self::Cluster => "cluster",
            Self::Staged => "staged",
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| *family as u8 == code)
    }
}

/// Bytes of a batch that is flushed at once.
const LARGE: usize = 8 << 20;
/// Bytes that are worth files of their own.
pub(super) const APART: usize = 16 << 20;

/// Bytes of a change within a batch besides its key and value, at most: its kind, its family, and both lengths.
const HEADER: usize = 16;

#[derive(Clone)]
pub(super) enum Op {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    /// From the first key to before the second; to the end without one.
    DeleteRange(Family, Vec<u8>, Option<Vec<u8>>),
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// A key and what its value becomes; nothing if it goes.
type Set = (Vec<u8>, Option<Vec<u8>>);

/// Takes a key and its value, and says whether to go on.
type Take<'t> = &'t mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Error>;

/// Changes that are made together, in order.
#[derive(Clone, Default)]
pub(crate) struct Batch {
    ops: Vec<Op>,
    size: usize,
}

impl Batch {
    /// Makes room for so many changes more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.ops.reserve(more);
    }

    pub(crate) fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        let key = key.into();
        self.size += key.len() + value.len();
        self.ops.push(Op::Put(family, key, value));
    }

    pub(crate) fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.size += key.len();
        self.ops.push(Op::Delete(family, key));
    }

    pub(crate) fn delete_range(&mut self, family: Family, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.ops.push(Op::DeleteRange(family, from.into(), Some(to.into())));
    }

    pub(crate) fn delete_all(&mut self, family: Family) {
        self.ops.push(Op::DeleteRange(family, Vec::new(), None));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.ops.append(&mut other.ops);
        self.size += other.size;
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}

/// An open store, the only one on its folder.
pub(crate) struct Engine {
    dir: PathBuf,
    kind: Kind,
    failed: AtomicBool,
}

enum Kind {
    Disk(RwLock<Disk>),
    Memory(Shelf),
}

/// Both absent after it was closed; the database absent after a reopening that failed.
#[derive(Default)]
struct Disk {
    folder: Option<Folder>,
    db: Option<DB>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens or creates.
    pub(crate) fn open(storage: &Storage) -> Result<Self, Error> {
        let (dir, kind) = match storage {
            Storage::Disk(dir) => (dir.clone(), Kind::Disk(RwLock::default())),
            Storage::Memory => (PathBuf::from("memory"), Kind::Memory(Shelf::default())),
            Storage::Shelf(shelf) => (PathBuf::from("memory"), Kind::Memory(shelf.clone())),
        };
        let engine = Self { dir, kind, failed: AtomicBool::new(false) };
        engine.reopen()?;
        Ok(engine)
    }

    /// Whether its work may block.
    pub(crate) const fn blocks(&self) -> bool {
        matches!(self.kind, Kind::Disk(_))
    }

    /// Where snapshots may lie while they travel. Nowhere in memory.
    pub(crate) fn snapshot_dir(&self) -> Option<PathBuf> {
        self.blocks().then(|| self.dir.join(super::folder::SNAPSHOT))
    }

    /// Closes and opens again, keeping the folder's lock.
    pub(crate) fn reopen(&self) -> Result<(), Error> {
        match &self.kind {
            Kind::Memory(shelf) => shelf.start()?,
            Kind::Disk(disk) => {
                let mut disk = disk.write();
                self.failed.store(true, Ordering::SeqCst);
                disk.db = None;
                let folder = match disk.folder.take() {
                    Some(folder) => folder,
                    None => Folder::lock(&self.dir)?,
                };
                let db = disk.folder.insert(folder).open_db()?;
                disk.db = Some(db);
            }
        }
        self.failed.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Lets go of the folder. What is asked later fails until it is opened again.
    pub(crate) fn close(&self) {
        if let Kind::Disk(disk) = &self.kind {
            let mut disk = disk.write();
            self.failed.store(true, Ordering::SeqCst);
            *disk = Disk::default();
        }
    }

    /// Whether a write has failed since the last opening, or it is closed.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Writes a batch. With `sync` it is on the disk when this returns; without, it is after the next batch that is.
    pub(crate) fn write(&self, batch: Batch, sync: bool) -> Result<(), Error> {
        match &self.kind {
            Kind::Memory(shelf) => shelf.lock().write(batch, sync),
            Kind::Disk(disk) => {
                if self.is_failed() {
                    return Err(closed());
                }
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                let large = batch.size > LARGE;
                let mut options = WriteOptions::default();
                options.set_sync(sync);
                db.write_opt(rocks_batch(db, batch), &options).map_err(|error| {
                    self.failed.store(true, Ordering::SeqCst);
                    Error::Write(error.into_string())
                })?;
                if large {
                    start_flush(db);
                }
            }
        }
        Ok(())
    }

    /// Writes a batch past the log and past what is in memory, each family into a file of its own, which the database takes in as it is:
    /// for much that need not be there whole. It is on the disk when this returns, though what was written before and not synced
    /// may not be; its ranges of deletions are not synced either, and go first. No key is in it twice.
    pub(super) fn write_apart(&self, batch: Batch) -> Result<(), Error> {
        match &self.kind {
            Kind::Memory(shelf) => shelf.lock().write_apart(&batch),
            Kind::Disk(disk) => {
                let mut ranges = Batch::default();
                let mut files: [Vec<Set>; Family::ALL.len()] = Default::default();
                for op in batch.ops {
                    match op {
                        Op::Put(family, key, value) => files[family as usize].push((key, Some(value))),
                        Op::Delete(family, key) => files[family as usize].push((key, None)),
                        Op::DeleteRange(..) => ranges.ops.push(op),
                    }
                }
                if !ranges.ops.is_empty() {
                    self.write(ranges, false)?;
                }
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                for (family, content) in Family::ALL.into_iter().zip(files) {
                    if !content.is_empty() {
                        self.take_in(db, family, content)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_in(&self, db: &DB, family: Family, mut content: Vec<Set>) -> Result<(), Error> {
        if self.is_failed() {
            return Err(closed());
        }
        content.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let dir = self.dir.join(super::folder::SNAPSHOT);
        let path = dir.join(format!("{}.sst", family.name()));
        let write = || {
            let options = super::folder::family_options(family.name());
            let mut file = SstFileWriter::create(&options);
            file.open(&path)?;
            for (key, value) in content {
                breathe();
                match value {
                    Some(value) => file.put(key, value)?,
                    None => file.delete(key)?,
                }
            }
            file.finish()?;
            let mut options = IngestExternalFileOptions::default();
            options.set_move_files(true);
            db.ingest_external_file_cf_opts(handle(db, family), &options, vec![&path])
        };
        let made = std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()));
        made.and_then(|()| write().map_err(rocksdb::Error::into_string)).map_err(|what| {
            self.failed.store(true, Ordering::SeqCst);
            Error::Write(what)
        })
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match &self.kind {
            Kind::Memory(shelf) => Ok(shelf.lock().family(family).get(key).cloned()),
            Kind::Disk(disk) => {
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                db.get_cf(handle(db, family), key).map_err(|error| self.broken(error.into_string()))
            }
        }
    }

    /// Walks the keys from `from` on, as they were at one moment, until `take` says that it is enough.
    pub(crate) fn scan(
        &self,
        family: Family,
        from: &[u8],
        mut take: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::Memory(shelf) => {
                for (key, value) in shelf.lock().family(family).range(from.to_vec()..) {
                    if !take(key, value)? {
                        break;
                    }
                }
                Ok(())
            }
            Kind::Disk(disk) => {
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                let mut cursor = db.raw_iterator_cf_opt(handle(db, family), careful());
                self.walk(&mut cursor, from, &mut take)
            }
        }
    }

    /// The last key of a family.
    pub(crate) fn last(&self, family: Family) -> Result<Option<Pair>, Error> {
        match &self.kind {
            Kind::Memory(shelf) => {
                let last = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
                Ok(shelf.lock().family(family).last_key_value().map(last))
            }
            Kind::Disk(disk) => {
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                let mut cursor = db.raw_iterator_cf_opt(handle(db, family), careful());
                cursor.seek_to_last();
                cursor.status().map_err(|error| self.broken(error.into_string()))?;
                Ok(cursor.item().map(|(key, value)| (key.to_vec(), value.to_vec())))
            }
        }
    }

    /// Walks several families as they all were at one moment, while others go on writing; `at_rest` is what keeps them from it until
    /// then.
    pub(crate) fn dump(
        &self,
        families: &[Family],
        at_rest: impl Sized,
        mut take: impl FnMut(Family, &[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::Memory(shelf) => {
                let content = shelf.lock();
                drop(at_rest);
                families.iter().try_for_each(|family| {
                    content.family(*family).iter().try_for_each(|(key, value)| take(*family, key, value))
                })
            }
            Kind::Disk(disk) => {
                let disk = disk.read();
                let db = disk.db.as_ref().ok_or_else(closed)?;
                let moment = db.snapshot();
                drop(at_rest);
                for family in families {
                    let mut cursor = moment.raw_iterator_cf_opt(handle(db, *family), careful());
                    self.walk(&mut cursor, &[], &mut |key, value| take(*family, key, value).map(|()| true))?;
                }
                Ok(())
            }
        }
    }

    fn walk(
        &self,
        cursor: &mut rocksdb::DBRawIteratorWithThreadMode<'_, DB>,
        from: &[u8],
        take: Take<'_>,
    ) -> Result<(), Error> {
        cursor.seek(from);
        while let Some((key, value)) = cursor.item() {
            breathe();
            if !take(key, value)? {
                return Ok(());
            }
            cursor.next();
        }
        cursor.status().map_err(|error| self.broken(error.into_string()))
    }

    pub(crate) fn broken(&self, what: impl Into<String>) -> Error {
        Error::Broken { dir: self.dir.clone(), what: what.into() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn closed() -> Error {
    Error::Write("the store is closed after a failed write".into())
}

/// The families are opened with the store, so each is there.
fn handle(db: &DB, family: Family) -> &rocksdb::ColumnFamily {
    db.cf_handle(family.name()).expect("a column family that was opened with the store")
}

pub(super) fn rocks_batch(db: &DB, batch: Batch) -> WriteBatch {
    let mut written = WriteBatch::default();
    if batch.size > LARGE {
        // It grows by doubling and moves each time; what was put and taken back has left it the room.
        written.put(b"", vec![0; batch.size + batch.ops.len() * HEADER]);
        written.clear();
    }
    for op in batch.ops {
        breathe();
        match op {
            Op::Put(family, key, value) => written.put_cf(handle(db, family), key, value),
            Op::Delete(family, key) => written.delete_cf(handle(db, family), key),
            Op::DeleteRange(family, from, to) => {
                // No key is as long and as high as this.
                let to = to.unwrap_or_else(|| vec![0xff; 64]);
                written.delete_range_cf(handle(db, family), from, to);
            }
        }
    }
    written
}

fn careful() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.set_readahead_size(1 << 20);
    options.fill_cache(false);
    options
}

/// Moves a large change out of memory and out of the log, so that neither is read again at the next start. If this fails,
/// the next write says so.
fn start_flush(db: &DB) {
    let mut options = FlushOptions::default();
    options.set_wait(false);
    for family in Family::ALL {
        if let Err(error) = db.flush_cf_opt(handle(db, family), &options) {
            tracing::warn!(%error, "tables: a large change stays in the log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_writes_what_was_put_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = Engine::open(&Storage::Disk(folder.path().into())).expect("a store");
        let Kind::Disk(disk) = &engine.kind else { panic!("it is on disk") };
        let disk = disk.read();
        let db = disk.db.as_ref().expect("it is open");
        let value = vec![7; 1 << 20];
        let mut batch = Batch::default();
        for key in 0..10u8 {
            batch.put(Family::Rows, [key], value.clone());
        }
        assert!(batch.size() > LARGE);
        let written = rocks_batch(db, batch);
        assert_eq!(written.len(), 10);
        db.write(written).expect("a write");
        assert_eq!(db.get_cf(handle(db, Family::Rows), [9]).expect("a read"), Some(value));
    }

    fn engines(folder: &Path) -> [Engine; 2] {
        [Storage::Disk(folder.into()), Storage::Memory].map(|storage| Engine::open(&storage).expect("a store"))
    }

    fn put(batch: &mut Batch, family: Family, keys: impl IntoIterator<Item = u16>, value: &str) {
        keys.into_iter().for_each(|key| batch.put(family, key.to_be_bytes(), value.into()));
    }

    fn content(engine: &Engine, family: Family) -> Vec<(u16, String)> {
        let mut found = Vec::new();
        let take = |key: &[u8], value: &[u8]| {
            let key = u16::from_be_bytes(key.try_into().expect("two bytes"));
            found.push((key, String::from_utf8_lossy(value).into_owned()));
            Ok(true)
        };
        engine.scan(family, &[], take).expect("it reads");
        found
    }

    #[test]
    fn what_is_written_apart_lies_over_what_was_before_and_under_what_comes_later() {
        let folder = tempfile::tempdir().expect("a folder");
        for engine in engines(folder.path()) {
            let mut early = Batch::default();
            put(&mut early, Family::Rows, 0..1000, "early");
            put(&mut early, Family::Changes, [7], "early");
            engine.write(early, false).expect("a write");
            let mut apart = Batch::default();
            apart.delete_range(Family::Rows, 650u16.to_be_bytes(), 900u16.to_be_bytes());
            // In no order.
            put(&mut apart, Family::Rows, (500..700).rev(), "apart");
            put(&mut apart, Family::Changes, [9, 8], "apart");
            apart.delete(Family::Rows, 3u16.to_be_bytes());
            engine.write_apart(apart).expect("a write");
            let left = engine.snapshot_dir().map_or(0, |dir| std::fs::read_dir(dir).expect("a folder").count());
            assert_eq!(left, 0, "its files are the database's now");
            let mut late = Batch::default();
            put(&mut late, Family::Rows, [501], "late");
            late.delete(Family::Rows, 502u16.to_be_bytes());
            engine.write(late, true).expect("a write");
            let value = |key: u16| match key {
                3 | 502 | 700..900 => None,
                501 => Some((key, "late".to_owned())),
                500..700 => Some((key, "apart".to_owned())),
                _ => Some((key, "early".to_owned())),
            };
            let expected: Vec<_> = (0..1000).filter_map(value).collect();
            for _ in 0..2 {
                assert_eq!(content(&engine, Family::Rows), expected);
                let changes: Vec<u16> = content(&engine, Family::Changes).iter().map(|(key, _)| *key).collect();
                assert_eq!(changes, [7, 8, 9]);
                engine.reopen().expect("it opens again");
            }
        }
    }

    #[test]
    fn who_looked_before_does_not_see_what_is_written_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        for engine in engines(folder.path()) {
            let mut early = Batch::default();
            put(&mut early, Family::Rows, 0..10, "early");
            engine.write(early, true).expect("a write");
            let mut seen = 0;
            let look = |family: Family, _: &[u8], _: &[u8]| {
                if engine.blocks() && seen == 0 {
                    let mut apart = Batch::default();
                    put(&mut apart, Family::Changes, 5..20, "apart");
                    engine.write_apart(apart).expect("a write");
                }
                seen += 1;
                assert!(family == Family::Rows, "there were no others");
                Ok(())
            };
            engine.dump(&[Family::Rows, Family::Changes], (), look).expect("it reads");
            assert_eq!(seen, 10);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_leaves_no_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let [engine, _] = engines(folder.path());
        let mut early = Batch::default();
        put(&mut early, Family::Rows, 0..10, "early");
        engine.write(early, true).expect("a write");
        let dir = folder.path().join("snapshot");
        for is_folder in [true, false] {
            if is_folder {
                std::fs::create_dir_all(dir.join("rows.sst")).expect("a folder where the file would be");
            } else {
                std::fs::write(&dir, "").expect("a file where the folder would be");
            }
            let mut apart = Batch::default();
            put(&mut apart, Family::Rows, 5..20, "apart");
            let error = engine.write_apart(apart.clone()).expect_err("it cannot be");
            assert!(matches!(error, Error::Write(_)), "{error}");
            assert!(engine.is_failed(), "nothing is written before it is opened again");
            assert!(engine.write(apart, true).is_err());
            if !is_folder {
                std::fs::remove_file(&dir).expect("it goes");
            }
            engine.reopen().expect("it opens again");
            assert_eq!(content(&engine, Family::Rows).len(), 10);
        }
    }
}
