//! What can go wrong with a call as an object. What can go wrong *in* a call is a SIP status, not an error.

/// Why a checkpoint cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no checkpoint of this version.
    #[error("checkpoint cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// It was made by another version of the format.
    #[error("checkpoint has version {0}")]
    Version(u16),
}
