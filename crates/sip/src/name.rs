//! Header names, long and compact (RFC 3261 §7.3.3 and the IANA registry).

/// A header that some decision reads; any other is [`Name::Other`] and passes through with the text it came with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "the names are the RFCs' own")]
pub enum Name {
    Accept,
    Allow,
    AllowEvents,
    AuthenticationInfo,
    Authorization,
    CallId,
    Contact,
    ContentDisposition,
    ContentEncoding,
    ContentLength,
    ContentType,
    CSeq,
    Date,
    Diversion,
    Event,
    Expires,
    From,
    HistoryInfo,
    Identity,
    InReplyTo,
    MaxForwards,
    MinExpires,
    MinSe,
    PAssertedIdentity,
    PPreferredIdentity,
    Path,
    Privacy,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    RAck,
    Reason,
    RecordRoute,
    ReferTo,
    ReferredBy,
    Replaces,
    Require,
    RetryAfter,
    Route,
    RSeq,
    Server,
    SessionExpires,
    Subject,
    SubscriptionState,
    Supported,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    Other,
}

/// Name, canonical text, compact form (0 where there is none).
const NAMES: [(Name, &str, u8); 52] = [
    (Name::Accept, "Accept", 0),
    (Name::Allow, "Allow", 0),
    (Name::AllowEvents, "Allow-Events", b'u'),
    (Name::AuthenticationInfo, "Authentication-Info", 0),
    (Name::Authorization, "Authorization", 0),
    (Name::CallId, "Call-ID", b'i'),
    (Name::Contact, "Contact", b'm'),
    (Name::ContentDisposition, "Content-Disposition", 0),
    (Name::ContentEncoding, "Content-Encoding", b'e'),
    (Name::ContentLength, "Content-Length", b'l'),
    (Name::ContentType, "Content-Type", b'c'),
    (Name::CSeq, "CSeq", 0),
    (Name::Date, "Date", 0),
    (Name::Diversion, "Diversion", 0),
    (Name::Event, "Event", b'o'),
    (Name::Expires, "Expires", 0),
    (Name::From, "From", b'f'),
    (Name::HistoryInfo, "History-Info", 0),
    (Name::Identity, "Identity", b'y'),
    (Name::InReplyTo, "In-Reply-To", 0),
    (Name::MaxForwards, "Max-Forwards", 0),
    (Name::MinExpires, "Min-Expires", 0),
    (Name::MinSe, "Min-SE", 0),
    (Name::PAssertedIdentity, "P-Asserted-Identity", 0),
    (Name::PPreferredIdentity, "P-Preferred-Identity", 0),
    (Name::Path, "Path", 0),
    (Name::Privacy, "Privacy", 0),
    (Name::ProxyAuthenticate, "Proxy-Authenticate", 0),
    (Name::ProxyAuthorization, "Proxy-Authorization", 0),
    (Name::ProxyRequire, "Proxy-Require", 0),
    (Name::RAck, "RAck", 0),
    (Name::Reason, "Reason", 0),
    (Name::RecordRoute, "Record-Route", 0),
    (Name::ReferTo, "Refer-To", b'r'),
    (Name::ReferredBy, "Referred-By", b'b'),
    (Name::Replaces, "Replaces", 0),
    (Name::Require, "Require", 0),
    (Name::RetryAfter, "Retry-After", 0),
    (Name::Route, "Route", 0),
    (Name::RSeq, "RSeq", 0),
    (Name::Server, "Server", 0),
    (Name::SessionExpires, "Session-Expires", b'x'),
    (Name::Subject, "Subject", b's'),
    (Name::SubscriptionState, "Subscription-State", 0),
    (Name::Supported, "Supported", b'k'),
    (Name::Timestamp, "Timestamp", 0),
    (Name::To, "To", b't'),
    (Name::Unsupported, "Unsupported", 0),
    (Name::UserAgent, "User-Agent", 0),
    (Name::Via, "Via", b'v'),
    (Name::Warning, "Warning", 0),
    (Name::WwwAuthenticate, "WWW-Authenticate", 0),
];

/// Whose compact form each letter is.
const COMPACT: [Name; 26] = {
    let mut letters = [Name::Other; 26];
    let mut at = 0;
    while at < NAMES.len() {
        let (name, _, compact) = NAMES[at];
        if compact != 0 {
            letters[(compact - b'a') as usize] = name;
        }
        at += 1;
    }
    letters
};

/// Where in [`NAMES`] the one name stands that a text of this [`slot`] can be. A name that shared another's slot would
/// not compile.
const SLOTS: [u8; SLOTS_LEN] = {
    let mut slots = [u8::MAX; SLOTS_LEN];
    let mut at = 0;
    while at < NAMES.len() {
        let slot = slot(NAMES[at].1.as_bytes());
        assert!(slots[slot] == u8::MAX, "two names of one slot: other factors are needed");
        slots[slot] = at as u8;
        at += 1;
    }
    slots
};

/// A number from length, first and last letter, in any case, that no two names have in common.
const fn slot(text: &[u8]) -> usize {
    let (first, last) = (text[0] | 0x20, text[text.len() - 1] | 0x20);
    (text.len() + last as usize * 4 + first as usize * 39) % SLOTS_LEN
}

const SLOTS_LEN: usize = 256;

impl Name {
    /// Reads a header name, in any case, long or compact.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        match text {
            [] => Self::Other,
            [letter] => {
                let at = letter.to_ascii_lowercase().wrapping_sub(b'a');
                COMPACT.get(usize::from(at)).copied().unwrap_or(Self::Other)
            }
            _ => match NAMES.get(usize::from(SLOTS[slot(text)])) {
                // Nearly everyone writes the canonical case, which is compared at once.
                Some((name, long, _)) if long.as_bytes() == text || long.as_bytes().eq_ignore_ascii_case(text) => *name,
                Some(_) | None => Self::Other,
            },
        }
    }

    /// The canonical text; empty for [`Name::Other`].
    #[must_use]
    pub fn text(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, long, _)| long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, (name, _, _)) in NAMES.iter().enumerate() {
            assert_eq!(*name as usize, index, "{name:?}");
        }
        assert_eq!(Name::Other as usize, NAMES.len());
        for (name, long, compact) in NAMES {
            assert_eq!(Name::of(long.as_bytes()), name);
            assert_eq!(Name::of(long.to_uppercase().as_bytes()), name);
            assert_eq!(Name::of(long.replace('-', "\r").as_bytes()) == name, !long.contains('-'), "{long}");
            assert!(compact == 0 || Name::of(&[compact.to_ascii_uppercase()]) == name, "{long}");
        }
    }

    #[test]
    fn compact_and_odd_case_forms_are_the_same_header() {
        assert_eq!(Name::of(b"v"), Name::Via);
        assert_eq!(Name::of(b"cALL-iD"), Name::CallId);
        assert_eq!(Name::of(b"I"), Name::CallId);
        for other in ["X-Other", "", "{", "\u{e9}", "z", "Viaa", "@"] {
            assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
        }
    }
}
