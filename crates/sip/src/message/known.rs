//! What is read of every message again and again, found once: From, To, the topmost Via and CSeq.
//!
//! Only places are kept, never copies; what [`crate::addr`] and [`crate::via`] read is what stands here.

use super::{Message, Span};
use crate::addr::NameAddr;
use crate::header::CSeq;
use crate::name::Name;
use crate::param::Params;
use crate::via::Via;

/// The values that parsed; `None` for one that is missing or malformed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) from: Option<AddressAt>,
    pub(super) to: Option<AddressAt>,
    pub(super) via: Option<ViaAt>,
    pub(super) cseq: Option<CSeq>,
}

/// Where the parts of a From or To stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressAt {
    display: Span,
    uri: Span,
    params: Span,
    /// Empty if there is none.
    tag: Span,
}

/// Where the parts of a Via stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViaAt {
    transport: Span,
    host: Span,
    params: Span,
    branch: Span,
    port: Option<u16>,
}

impl Known {
    /// Reads them from a message whose lines are indexed.
    pub(super) fn of(message: &Message) -> Self {
        let address = |name| {
            let addr = NameAddr::parse(message.get(name)?)?;
            Some(AddressAt {
                display: message.span_of(addr.display),
                uri: message.span_of(addr.uri),
                params: message.span_of(addr.params.as_str()),
                tag: addr.tag().map_or(Span::default(), |tag| message.span_of(tag)),
            })
        };
        let via = message.values(Name::Via).next().and_then(Via::parse).map(|via| ViaAt {
            transport: message.span_of(via.transport),
            host: message.span_of(via.host),
            params: message.span_of(via.params.as_str()),
            branch: message.span_of(via.branch()),
            port: via.port,
        });
        let cseq = message.get(Name::CSeq).and_then(CSeq::parse);
        Self { from: address(Name::From), to: address(Name::To), via, cseq }
    }
}

impl Message {
    /// The CSeq, if it is well formed.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq> {
        self.known.cseq
    }

    /// From, if it is well formed.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'_>> {
        self.known.from.map(|at| at.read(self))
    }

    /// To, if it is well formed.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'_>> {
        self.known.to.map(|at| at.read(self))
    }

    /// The tag in From.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        self.known.from.and_then(|at| at.tag(self))
    }

    /// The tag in To.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        self.known.to.and_then(|at| at.tag(self))
    }

    /// The topmost Via.
    #[must_use]
    pub fn top_via(&self) -> Option<Via<'_>> {
        self.known.via.map(|at| at.read(self))
    }
}

impl AddressAt {
    pub(super) fn read(self, message: &Message) -> NameAddr<'_> {
        NameAddr {
            display: message.text_at(self.display),
            uri: message.text_at(self.uri),
            params: Params::new(message.text_at(self.params)),
        }
    }

    pub(super) fn tag(self, message: &Message) -> Option<&str> {
        Some(message.text_at(self.tag)).filter(|tag| !tag.is_empty())
    }
}

impl ViaAt {
    pub(super) fn read(self, message: &Message) -> Via<'_> {
        Via {
            transport: message.text_at(self.transport),
            host: message.text_at(self.host),
            port: self.port,
            params: Params::new(message.text_at(self.params)),
        }
    }

    pub(super) fn branch(self, message: &Message) -> &str {
        message.text_at(self.branch)
    }
}
