//! One address of record as a machine (RFC 3261 §10.3). It never sends, and never checks a digest.

use crate::binding::Binding;
use crate::request::{Accepted, Contact, Contacts, Register, Reject};
use crate::row::Row;
use crate::{Error, Limits, MAX_CALL_ID_BYTES, MAX_URI_BYTES, Overflow};
use sip::Transport;
use sip::clock::{Instant, Now};
use sip::uri::Uri;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// What has happened to a binding: for metrics, the log and whoever watches registrations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// A contact is bound that was not before.
    Bound(Box<str>),
    /// Its owner removed it, or it gave way to a newer one.
    Removed(Box<str>),
    /// Its time ran out, or its connection is gone for good.
    Expired(Box<str>),
}

type Bindings = SmallVec<[Binding; 1]>;

/// The bindings of one address of record.
#[derive(Clone, Debug)]
pub struct Aor {
    name: Arc<str>,
    bindings: Bindings,
    effects: VecDeque<Effect>,
}

impl Aor {
    /// An address of record without bindings: a URI such as `sip:alice@example.net`, or a bare user's name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), bindings: Bindings::new(), effects: VecDeque::new() }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// True if it has no binding, so that nothing is lost if it is forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// Handles a REGISTER: all of it or nothing.
    ///
    /// # Errors
    /// The refusal to send: 400, 403, 423 or 500.
    pub fn register(&mut self, now: Now, request: &Register<'_>, limits: &Limits) -> Result<Accepted, Reject> {
        self.handle_timeout(now);
        if request.user != self.owner() {
            return Err(Reject::new(403, "not the owner of the address of record"));
        }
        match request.contacts {
            Contacts::None => {}
            Contacts::Wildcard => self.remove_all(request)?,
            Contacts::List(contacts) => {
                let next = self.after(now.mono, request, contacts, limits)?;
                self.commit(next);
            }
        }
        Ok(Accepted { bindings: self.bindings.iter().map(|binding| binding.listed(now.mono)).collect() })
    }

    /// The contacts to call, those preferred first and equal ones by the latest refresh.
    #[must_use]
    pub fn contacts(&self, now: Instant) -> Vec<&Binding> {
        let mut contacts: Vec<_> = self.bindings.iter().filter(|binding| now < binding.expires_at).collect();
        contacts.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.refreshed_at)));
        contacts
    }

    /// A connection is gone. Phones behind TCP or TLS may be called over a new one; a browser cannot be called at all.
    pub fn handle_closed(&mut self, connection: u64) {
        let effects = &mut self.effects;
        self.bindings.retain(|binding| {
            if connection == 0 || binding.flow.connection != connection {
                return true;
            }
            binding.flow.connection = 0;
            let keeps = !matches!(binding.flow.transport, Transport::Ws | Transport::Wss);
            if !keeps {
                effects.push_back(Effect::Expired(binding.contact.clone()));
            }
            keeps
        });
    }

    /// Drops what has run out.
    pub fn handle_timeout(&mut self, now: Now) {
        let effects = &mut self.effects;
        self.bindings.retain(|binding| {
            let keeps = now.mono < binding.expires_at;
            if !keeps {
                effects.push_back(Effect::Expired(binding.contact.clone()));
            }
            keeps
        });
    }

    /// When the next binding runs out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.bindings.iter().map(|binding| binding.expires_at).min()
    }

    /// What has happened, until there is nothing more.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Everything that has to outlive this process or a sleep; `None` where there is no binding.
    #[must_use]
    pub fn checkpoint(&self, now: Now) -> Option<Row> {
        let entries: Vec<_> = self.bindings.iter().map(|binding| binding.to_row(now)).collect();
        Row::pack(&entries)
    }

    /// Of a row that slept in this process: connections are as they were. Bindings that ran out meanwhile go at the next
    /// [`Aor::handle_timeout`].
    ///
    /// # Errors
    /// [`Error::Row`].
    pub fn wake(name: impl Into<Arc<str>>, row: &Row, now: Now) -> Result<Self, Error> {
        let bindings = row.unpack()?.into_iter().map(|entry| Binding::of_row(entry, now)).collect();
        Ok(Self { bindings, ..Self::new(name) })
    }

    /// Of a checkpoint of another process, whose connections mean nothing here.
    ///
    /// # Errors
    /// [`Error::Row`].
    pub fn restore(name: impl Into<Arc<str>>, row: &Row, now: Now) -> Result<Self, Error> {
        let mut aor = Self::wake(name, row, now)?;
        aor.bindings.iter_mut().for_each(|binding| binding.flow.connection = 0);
        Ok(aor)
    }

    /// Who may register here: the user of the URI, or the name itself.
    fn owner(&self) -> &str {
        Uri::parse(&self.name).and_then(|uri| uri.user).unwrap_or(&self.name)
    }

    fn remove_all(&mut self, request: &Register<'_>) -> Result<(), Reject> {
        if request.expires != Some(0) {
            return Err(Reject::new(400, "Contact * needs Expires 0"));
        }
        if !self.bindings.iter().all(|binding| binding.yields_to(request)) {
            return Err(out_of_order());
        }
        self.commit(Bindings::new());
        Ok(())
    }

    /// The bindings as they would be after the request.
    fn after(
        &self,
        now: Instant,
        request: &Register<'_>,
        contacts: &[Contact<'_>],
        limits: &Limits,
    ) -> Result<Bindings, Reject> {
        let mut next = self.bindings.clone();
        if contacts.len() > limits.max_contacts {
            return Err(too_many());
        }
        check_lengths(request, contacts)?;
        for contact in contacts {
            let seconds = granted(request, contact, limits)?;
            // Compared with what held before, so that a request may name one contact twice.
            if !self.bindings.iter().filter(|binding| binding.is(contact)).all(|binding| binding.yields_to(request)) {
                return Err(out_of_order());
            }
            next.retain(|binding| !binding.is(contact));
            if seconds > 0 {
                next.push(Binding::new(now, request, contact, seconds));
            }
        }
        while next.len() > limits.max_contacts {
            match limits.overflow {
                Overflow::Refuse => return Err(too_many()),
                Overflow::ReplaceOldest => drop_oldest(&mut next),
            }
        }
        Ok(next)
    }

    /// Puts new bindings in force and tells what differs.
    fn commit(&mut self, next: Bindings) {
        let among =
            |bindings: &Bindings, wanted: &Binding| bindings.iter().any(|other| other.contact == wanted.contact);
        for old in self.bindings.iter().filter(|old| !among(&next, old)) {
            self.effects.push_back(Effect::Removed(old.contact.clone()));
        }
        for new in next.iter().filter(|new| !among(&self.bindings, new)) {
            self.effects.push_back(Effect::Bound(new.contact.clone()));
        }
        self.bindings = next;
    }
}

/// Seconds for one contact: its own wish, else the header's, else the default (RFC 3261 §10.3 step 7).
fn granted(request: &Register<'_>, contact: &Contact<'_>, limits: &Limits) -> Result<u32, Reject> {
    let wished = contact.expires.or(request.expires).unwrap_or(limits.default_expires);
    if wished > 0 && wished < limits.min_expires {
        return Err(Reject { min_expires: Some(limits.min_expires), ..Reject::new(423, "expiry too brief") });
    }
    Ok(wished.min(limits.max_expires))
}

fn check_lengths(request: &Register<'_>, contacts: &[Contact<'_>]) -> Result<(), Reject> {
    let long = |text: Option<&str>| text.is_some_and(|text| text.len() > MAX_URI_BYTES);
    let too_long = request.call_id.len() > MAX_CALL_ID_BYTES
        || long(request.path)
        || contacts.iter().any(|contact| long(Some(contact.uri)) || long(contact.instance));
    if too_long {
        return Err(Reject::new(400, "Contact, Path or Call-ID too long"));
    }
    if contacts.iter().any(|contact| Uri::parse(contact.uri).is_none()) {
        return Err(Reject::new(400, "Contact is not a URI"));
    }
    Ok(())
}

fn drop_oldest(bindings: &mut Bindings) {
    let oldest = bindings.iter().enumerate().min_by_key(|(_, binding)| binding.refreshed_at).map(|(index, _)| index);
    if let Some(oldest) = oldest {
        bindings.remove(oldest);
    }
}

const fn out_of_order() -> Reject {
    Reject::new(500, "CSeq is not higher than that of the binding")
}

const fn too_many() -> Reject {
    Reject::new(403, "too many contacts")
}

#[cfg(test)]
mod tests;
