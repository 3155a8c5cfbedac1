//! The bytes of a message, and whether they are text.
//!
//! A message is looked over once. If all of it is UTF-8, as nearly always, each part of it is text from then on; else each
//! part is looked at when it is asked for, since one odd header or a binary body spoils only itself.

use super::Span;
use bytes::Bytes;
use bytestring::ByteString;

#[derive(Clone)]
pub(super) enum Text {
    /// All of it is UTF-8.
    Whole(ByteString),
    /// Some of it is not.
    Parts(Bytes),
}

impl Text {
    pub(super) fn of(bytes: Bytes) -> Self {
        if !bytes.is_ascii() && std::str::from_utf8(&bytes).is_err() {
            return Self::Parts(bytes);
        }
        // It cannot fail any more, and what it took it would not give back.
        ByteString::try_from(bytes).map_or(Self::Parts(Bytes::new()), Self::Whole)
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Whole(text) => text.as_bytes(),
            Self::Parts(bytes) => bytes,
        }
    }

    /// A part, if it is text.
    pub(super) fn get(&self, span: Span) -> Option<&str> {
        match self {
            Self::Whole(text) => text.get(span.range()),
            Self::Parts(bytes) => std::str::from_utf8(span.of(bytes)).ok(),
        }
    }
}
