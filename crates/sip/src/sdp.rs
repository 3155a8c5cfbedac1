//! Session descriptions (RFC 8866) and the offer/answer model (RFC 3264).
//!
//! [`Session`] reads a body and keeps its bytes, [`rewrite()`] makes of it the body that a back-to-back user agent with a
//! media relay sends on, and [`OfferAnswer`] holds one leg to the offer/answer rules. A line that nobody has a reason to
//! change leaves as it came, byte for byte. This module never resolves a name, opens a port or chooses an address.

mod address;
mod description;
mod direction;
mod line;
mod media;
mod negotiate;
mod offer_answer;
mod payload;
mod policy;
mod rewrite;
mod session;

#[cfg(test)]
mod samples;

pub use address::Host;
pub use description::{LocalDescription, Origin};
pub use direction::Direction;
pub use media::{Crypto, Fingerprint, Media};
pub use negotiate::{Common, Negotiated, common_codec, hold, negotiated};
pub use offer_answer::{Answered, OfferAnswer, State};
pub use payload::Payload;
pub use rewrite::{MediaAddress, Rewrite, Target, rewrite};
pub use session::{RemoteOrigin, Session};

/// Longest body that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most lines of a body.
pub const MAX_LINES: usize = 512;
/// Most media descriptions (`m=` lines) of a body.
pub const MAX_MEDIA: usize = 16;
/// Most formats of one media description.
pub const MAX_FORMATS: usize = 64;
/// Most early answers (forks) that one offer keeps.
pub const MAX_FORKS: usize = 8;

/// Why a session description cannot be read, written or exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The body is longer than [`MAX_BYTES`].
    #[error("session description is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The body has more lines than [`MAX_LINES`].
    #[error("session description has more than {MAX_LINES} lines")]
    TooManyLines,
    /// The body has more `m=` lines than [`MAX_MEDIA`].
    #[error("session description has more than {MAX_MEDIA} media")]
    TooManyMedia,
    /// A media description has more formats than [`MAX_FORMATS`].
    #[error("line {line}: more than {MAX_FORMATS} formats")]
    TooManyFormats {
        /// Number of the line, from 1.
        line: u16,
    },
    /// The body does not begin with `v=0`.
    #[error("session description does not begin with v=0")]
    Version,
    /// A line is not `letter=value`, or holds a control character that could end it early.
    #[error("line {line}: not a session description line")]
    Line {
        /// Number of the line, from 1.
        line: u16,
    },
    /// An `m=` line cannot be read.
    #[error("line {line}: malformed media description")]
    Media {
        /// Number of the line, from 1.
        line: u16,
    },
    /// A `c=` line cannot be read.
    #[error("line {line}: malformed connection address")]
    Connection {
        /// Number of the line, from 1.
        line: u16,
    },
    /// The codec policy leaves no codec in any media: a SIP answer of 488.
    #[error("no codec in common")]
    NoCommonCodec,
    /// An offer meets one of our own that is still open: a SIP answer of 491.
    #[error("offer while an offer of ours is open")]
    Glare,
    /// An offer meets an earlier one that has no answer yet: a SIP answer of 500 with Retry-After (RFC 3261 §14.2).
    #[error("offer while an earlier offer is unanswered")]
    Unanswered,
    /// An answer without an offer.
    #[error("answer without an offer")]
    NoOffer,
    /// An answer that has not as many `m=` lines as its offer (RFC 3264 §6).
    #[error("answer has {answer} media, the offer {offer}")]
    MediaCount {
        /// `m=` lines of the offer.
        offer: u16,
        /// `m=` lines of the answer.
        answer: u16,
    },
    /// More forks answered one offer than [`MAX_FORKS`].
    #[error("more than {MAX_FORKS} early answers to one offer")]
    TooManyForks,
}

impl Error {
    /// The SIP status code with which to refuse a request whose body has this error.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoCommonCodec | Self::MediaCount { .. } => 488,
            Self::Glare => 491,
            Self::Unanswered | Self::TooManyForks => 500,
            Self::TooLong => 413,
            Self::TooManyLines
            | Self::TooManyMedia
            | Self::TooManyFormats { .. }
            | Self::Version
            | Self::Line { .. }
            | Self::Media { .. }
            | Self::Connection { .. }
            | Self::NoOffer => 400,
        }
    }
}
