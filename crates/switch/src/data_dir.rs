//! The node's folder: made if it is missing, and claimed, so that two processes never write the same records.

use crate::error::Error;
use std::fs::{File, TryLockError, create_dir_all};
use std::path::Path;

/// Claims a folder for as long as the value lives, or the process.
#[derive(Debug)]
pub(crate) struct Claim {
    #[allow(dead_code, reason = "the lock is held by the open file")]
    file: File,
}

impl Claim {
    /// # Errors
    /// [`Error::DataDir`] if the folder cannot be made or written, [`Error::DataDirTaken`] if another process has it.
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDir { path: folder.to_owned(), source };
        create_dir_all(folder).map_err(failed)?;
        let file = File::create(folder.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::DataDirTaken { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_once_and_free_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a").join("b");
        let claim = Claim::new(&path).expect("free");
        assert!(matches!(Claim::new(&path), Err(Error::DataDirTaken { .. })));
        drop(claim);
        Claim::new(&path).expect("free again");
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "").expect("written");
        let error = Claim::new(&path.join("data")).expect_err("no folder").to_string();
        assert!(error.contains("file"), "{error}");
    }
}
