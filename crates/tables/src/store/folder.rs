//! The folder: whose it is, who has it open, and how RocksDB stands in it.
//!
//! `lock` is held while the store is open; `db` is the database. A new database is made as `new` and renamed when it is
//! whole, so that a start that is killed leaves nothing half made.

use super::engine::{Batch, Family, rocks_batch};
use super::{FORMAT_KEY, HEAD_KEY, Head, encode};
use crate::Error;
use crate::calm::calm_rocksdb;
use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteOptions};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The format that this version writes. It rises when an earlier version could no longer read what is written.
pub(super) const FORMAT: u32 = 2;

/// The format before Raft: the same rows, without the families for it. It is migrated in place.
const ALONE: u32 = 1;

const LOCK: &str = "lock";
const DATABASE: &str = "db";
const UNFINISHED: &str = "new";
/// Snapshots on their way, and files that the database is to take in; what is left there by a crash is worth nothing.
pub(super) const SNAPSHOT: &str = "snapshot";

/// A folder that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and takes it for this process.
    pub(super) fn lock(dir: &Path) -> Result<Self, Error> {
        // The rows hold secrets of partners: nobody else on the machine reads them.
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| file_error(dir, error))?;
        refuse_foreign(dir)?;
        let path = dir.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|error| file_error(&path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_path_buf(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_path_buf() }),
            Err(TryLockError::Error(error)) => Err(file_error(&path, error)),
        }
    }

    /// The database, made if there is none.
    pub(super) fn open_db(&self) -> Result<DB, Error> {
        let path = self.dir.join(DATABASE);
        if !path.try_exists().map_err(|error| file_error(&path, error))? {
            self.create(&path)?;
        }
        let mut families = DB::list_cf(&Options::default(), &path).map_err(|error| self.not_opened(error))?;
        let lacks = |name: &&str| !families.iter().any(|found| found == name);
        let missing: Vec<&str> = Family::ALL.map(Family::name).into_iter().filter(lacks).collect();
        let mut options = options();
        if missing == ADDED {
            options.create_missing_column_families(true);
            families.extend(ADDED.map(str::to_owned));
        } else if let Some(missing) = missing.first() {
            return Err(self.broken(format!("there is no column family `{missing}`")));
        }
        let descriptors = families.iter().map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let db = DB::open_cf_descriptors(&options, &path, descriptors);
        let db = db.map_err(|error| self.not_opened(error))?;
        calm_rocksdb();
        self.check_format(&db)?;
        let snapshots = self.dir.join(SNAPSHOT);
        if snapshots.exists() {
            fs::remove_dir_all(&snapshots).map_err(|error| file_error(&snapshots, error))?;
        }
        Ok(db)
    }

    pub(super) fn broken(&self, what: impl Into<String>) -> Error {
        Error::Broken { dir: self.dir.clone(), what: what.into() }
    }

    /// RocksDB says of a file that is missing that it is corruption too, so what is left is the world around it.
    fn not_opened(&self, error: rocksdb::Error) -> Error {
        use rocksdb::ErrorKind::{Aborted, Busy, IOError};
        if matches!(error.kind(), IOError | Aborted | Busy) {
            return Error::Database { dir: self.dir.clone(), what: error.into_string() };
        }
        self.broken(error.into_string())
    }

    fn create(&self, path: &Path) -> Result<(), Error> {
        let unfinished = self.dir.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| file_error(&unfinished, error))?;
        }
        self.fill(&unfinished)?;
        fs::rename(&unfinished, path).map_err(|error| file_error(path, error))?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| file_error(&self.dir, error))
    }

    fn fill(&self, path: &Path) -> Result<(), Error> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let write_error = |error: rocksdb::Error| Error::Write(error.into_string());
        let families = Family::ALL.map(Family::name);
        let descriptors = families.map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let db = DB::open_cf_descriptors(&options, path, descriptors).map_err(write_error)?;
        db.write_opt(rocks_batch(&db, first_content()?), &synced()).map_err(write_error)
    }

    fn check_format(&self, db: &DB) -> Result<(), Error> {
        let meta = db.cf_handle(Family::Meta.name()).expect("a column family that was opened with the store");
        let bytes = db.get_cf(meta, FORMAT_KEY).map_err(|error| self.broken(error.into_string()))?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        match text.and_then(|text| text.parse::<u32>().ok()) {
            Some(FORMAT) => Ok(()),
            Some(ALONE) => {
                tracing::info!(dir = %self.dir.display(), "tables: the folder is migrated to format {FORMAT}");
                let migrated = db.put_cf_opt(meta, FORMAT_KEY, FORMAT.to_string(), &synced());
                migrated.map_err(|error| Error::Write(error.into_string()))
            }
            Some(found) if found > FORMAT => Err(Error::Newer { dir: self.dir.clone(), found, known: FORMAT }),
            Some(_) | None => Err(self.broken("its format is not readable")),
        }
    }
}

/// The families that format 1 does not have.
const ADDED: [&str; 3] = [Family::Log.name(), Family::Cluster.name(), Family::Staged.name()];

/// What a new store holds.
pub(super) fn first_content() -> Result<Batch, Error> {
    let mut batch = Batch::default();
    batch.put(Family::Meta, FORMAT_KEY, FORMAT.to_string().into_bytes());
    batch.put(Family::Meta, HEAD_KEY, encode(&Head::default())?);
    Ok(batch)
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// Refuses a folder in which something else lives, before anything is written to it.
fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(|error| file_error(dir, error))? {
        let name = entry.map_err(|error| file_error(dir, error))?.file_name();
        if ![LOCK, DATABASE, UNFINISHED, SNAPSHOT].iter().any(|known| name == *known) {
            return Err(Error::Foreign { dir: dir.to_path_buf(), found: name.to_string_lossy().into_owned() });
        }
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    // A record that was cut off by a crash was never acknowledged; any other damage must be seen, not skipped.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_max_total_wal_size(64 << 20);
    // A RocksDB with assertions, as Debian's, ends the whole process when it writes to its own log a second time after the
    // disk was full. So it says there how it was opened and nothing later; what matters comes back as an error anyway.
    options.set_log_level(LogLevel::Header);
    options.set_stats_dump_period_sec(0);
    options.set_keep_log_file_num(1);
    options.set_max_open_files(256);
    options
}

/// What is staged is gone within seconds: not worth the time that it takes to make it smaller.
pub(super) fn family_options(name: &str) -> Options {
    let mut options = Options::default();
    if name == Family::Staged.name() {
        options.set_compression_type(DBCompressionType::None);
    }
    options
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_path_buf(), source }
}
