//! The description that we give on one leg: its `o=` line and when its version moves on (RFC 3264 §8).

use super::Error;
use super::address::write_ip;
use super::rewrite::{Rewrite, rewrite};
use super::session::Session;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::net::IpAddr;

/// How many descriptions the old owner of a leg may have written behind its last checkpoint.
const RESERVED_VERSIONS: u64 = 16;

/// Our own `o=` line (RFC 8866 §5.2). It hides the origin of the other leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Fixed for a leg.
    pub id: u64,
    /// Greater by one with each description that differs from the last.
    pub version: u64,
    /// The relay's address.
    pub address: IpAddr,
}

impl Origin {
    /// The user name in every description that we write.
    pub const USERNAME: &'static str = "tandem";

    /// Appends the whole line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // A write to a vector cannot fail.
        let _ = write!(out, "o={} {} {} ", Self::USERNAME, self.id, self.version);
        write_ip(out, self.address);
        out.extend_from_slice(b"\r\n");
    }
}

/// What we last said on a leg, so that the next description can say whether it differs. Part of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LocalDescription {
    id: u64,
    version: u64,
    last: Option<Bytes>,
}

impl LocalDescription {
    /// For a new leg, its session identifier drawn from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // 31 bits: some user agents read the identifier into a signed 32-bit integer.
        Self { id: (seed >> 33) | 1, version: 1, last: None }
    }

    /// The session identifier of this leg.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The version of the last description, 1 before and at the first.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The description that was last written, if any.
    #[must_use]
    pub const fn last(&self) -> Option<&Bytes> {
        self.last.as_ref()
    }

    /// Writes `session` for this leg. The version moves on only if anything differs from the last description, so
    /// that a refresh repeats itself byte for byte.
    ///
    /// # Errors
    /// [`Error::NoCommonCodec`]; nothing changes then.
    pub fn write(&mut self, session: &Session, address: IpAddr, plan: &Rewrite<'_>) -> Result<Bytes, Error> {
        let mut origin = Origin { id: self.id, version: self.version, address };
        let same = rewrite(session, &origin, plan)?;
        let body = match &self.last {
            Some(last) if *last == same => return Ok(last.clone()),
            Some(_) => {
                origin.version += 1;
                rewrite(session, &origin, plan)?
            }
            None => same,
        };
        self.version = origin.version;
        self.last = Some(body.clone());
        Ok(body)
    }

    /// A node takes the leg over from a checkpoint: the next description is numbered behind every one that the old owner
    /// may have written since, and so differs from the last. `spare` more are left out, for one who took it over in between
    /// and whose checkpoint was lost with it.
    pub fn take_over(&mut self, spare: u32) {
        self.version = self.version.saturating_add(RESERVED_VERSIONS).saturating_add(spare.into());
    }

    /// Writes our own last description again with other media addresses or directions: what a takeover, a hold or a
    /// resume sends. `None` if nothing was written yet.
    ///
    /// # Errors
    /// As [`LocalDescription::write`].
    pub fn rewrite_last(&mut self, address: IpAddr, plan: &Rewrite<'_>) -> Option<Result<Bytes, Error>> {
        let last = self.last.clone()?;
        Some(Session::from_bytes(last).and_then(|session| self.write(&session, address, plan)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::{MediaAddress, Target};
    use super::super::samples::{BARESIP, PJSIP};
    use super::*;

    const RELAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn relay(port: u16) -> [Target; 1] {
        [Target::Relay(MediaAddress { rtp: (RELAY, port).into(), rtcp: None })]
    }

    fn version(body: &Bytes) -> u64 {
        Session::parse(body).unwrap().origin().unwrap().version.parse().unwrap()
    }

    #[test]
    fn the_version_moves_only_with_the_body() {
        let mut local = LocalDescription::new(u64::MAX);
        let session = Session::parse(PJSIP.as_bytes()).unwrap();
        let mut write = |body: &Session, port| {
            local.write(body, RELAY, &Rewrite { media: &relay(port), ..Rewrite::default() }).unwrap()
        };
        let first = write(&session, 20000);
        assert_eq!((version(&first), &write(&session, 20000)), (1, &first));
        assert_eq!(version(&write(&session, 20002)), 2);
        assert_eq!(version(&write(&Session::parse(BARESIP.as_bytes()).unwrap(), 20002)), 3);
        assert_eq!((local.version(), local.id()), (3, 0x7FFF_FFFF));
    }

    #[test]
    fn the_other_legs_origin_is_hidden_and_its_version_ignored() {
        let mut local = LocalDescription::new(1 << 40);
        let plan = Rewrite { media: &relay(20000), ..Rewrite::default() };
        let first = local.write(&Session::parse(PJSIP.as_bytes()).unwrap(), RELAY, &plan).unwrap();
        let later = PJSIP.replace("3973500000 IN", "3973500001 IN");
        assert_eq!(local.write(&Session::parse(later.as_bytes()).unwrap(), RELAY, &plan), Ok(first.clone()));
        assert!(first.starts_with(b"v=0\r\no=tandem 129 1 IN IP4 203.0.113.1\r\ns=pjmedia\r\n"), "{first:?}");
    }

    #[test]
    fn a_takeover_writes_the_last_description_with_a_new_address() {
        let mut local = LocalDescription::new(9);
        let plan = Rewrite { media: &relay(20000), ..Rewrite::default() };
        assert!(local.rewrite_last(RELAY, &plan).is_none());
        local.write(&Session::parse(BARESIP.as_bytes()).unwrap(), RELAY, &plan).unwrap();
        let elsewhere: IpAddr = "198.51.100.1".parse().unwrap();
        let media = [Target::Relay(MediaAddress { rtp: (elsewhere, 30000).into(), rtcp: None })];
        let moved = local.rewrite_last(elsewhere, &Rewrite { media: &media, ..Rewrite::default() }).unwrap().unwrap();
        let session = Session::parse(&moved).unwrap();
        assert_eq!((version(&moved), session.media(0).unwrap().rtp_address()), (2, Some((elsewhere, 30000).into())));
        local.take_over(0);
        let repeated =
            local.rewrite_last(elsewhere, &Rewrite { media: &media, ..Rewrite::default() }).unwrap().unwrap();
        assert!(version(&repeated) > 2 + RESERVED_VERSIONS, "it is written anew though it says the same");
    }
}
