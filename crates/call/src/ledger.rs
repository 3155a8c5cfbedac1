//! What a call has taken and must give back on every path: channels, ports, its open record.

use crate::effect::Effect;
use routing::Target;
use routing::model::Trunk;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// Everything that is taken, and every answer that may still bring something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    admitted: Option<Arc<Trunk>>,
    seized: SmallVec<[(u32, Target); 1]>,
    anchored: bool,
    /// Answers to Admit, Seize and Anchor that have not come yet.
    admitting: Option<Arc<Trunk>>,
    /// The last says that nobody waits for it.
    seizing: SmallVec<[(u32, Target, bool); 1]>,
    anchoring: bool,
    /// FreeMedia was asked and its figures have not come.
    freeing: bool,
}

impl Ledger {
    /// Asks for a channel of the ingress trunk.
    pub(crate) fn admit(&mut self, out: &mut VecDeque<Effect>, trunk: Arc<Trunk>) {
        self.admitting = Some(trunk.clone());
        out.push_back(Effect::Admit { trunk });
    }

    /// Its answer.
    pub(crate) fn admitted(&mut self, granted: bool) {
        self.admitted = self.admitting.take().filter(|_| granted);
    }

    /// Asks for a channel at a target.
    pub(crate) fn seize(&mut self, out: &mut VecDeque<Effect>, attempt: u32, target: Target, seed: u64) {
        self.seizing.push((attempt, target.clone(), false));
        out.push_back(Effect::Seize { attempt, target, seed });
    }

    /// Nobody waits for this answer any more: what it brings goes back at once.
    pub(crate) fn forget_seizing(&mut self, attempt: u32) {
        for (number, _, stale) in &mut self.seizing {
            *stale |= *number == attempt;
        }
    }

    /// Its answer.
    pub(crate) fn seized(&mut self, out: &mut VecDeque<Effect>, attempt: u32, granted: bool) {
        if let Some(at) = self.seizing.iter().position(|(number, _, _)| *number == attempt) {
            let (_, target, stale) = self.seizing.remove(at);
            if granted && stale {
                out.push_back(Effect::Surrender { target });
            } else if granted {
                self.seized.push((attempt, target));
            }
        }
    }

    /// Asks for ports.
    pub(crate) fn anchor(&mut self, out: &mut VecDeque<Effect>, streams: usize) {
        self.anchoring = true;
        out.push_back(Effect::Anchor { streams });
    }

    /// The ports that a call had where it lived before are not this node's.
    pub(crate) const fn forget_ports(&mut self) {
        self.anchored = false;
    }

    /// Its answer.
    pub(crate) fn anchored(&mut self, granted: bool) {
        self.anchoring = false;
        self.anchored |= granted;
    }

    /// Whether ports are taken.
    pub(crate) const fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Gives the channel of an attempt back, if it is still taken.
    pub(crate) fn surrender(&mut self, out: &mut VecDeque<Effect>, attempt: u32) {
        if let Some(at) = self.seized.iter().position(|(number, _)| *number == attempt) {
            let (_, target) = self.seized.remove(at);
            out.push_back(Effect::Surrender { target });
        }
    }

    /// Gives the channel of the ingress trunk back: the caller has left a call that goes on.
    pub(crate) fn leave(&mut self, out: &mut VecDeque<Effect>) {
        if let Some(trunk) = self.admitted.take() {
            out.push_back(Effect::Leave { trunk });
        }
    }

    /// Gives every channel back.
    pub(crate) fn release_channels(&mut self, out: &mut VecDeque<Effect>) {
        for (_, target) in self.seized.drain(..) {
            out.push_back(Effect::Surrender { target });
        }
        self.leave(out);
    }

    /// Frees the ports, if any are taken; whether figures will come.
    pub(crate) fn free_media(&mut self, out: &mut VecDeque<Effect>) -> bool {
        if std::mem::take(&mut self.anchored) {
            self.freeing = true;
            out.push_back(Effect::FreeMedia);
        }
        self.freeing
    }

    /// The figures came.
    pub(crate) fn freed(&mut self) {
        self.freeing = false;
    }

    /// Whether an answer may still bring something that has to be given back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.admitting.is_some() || !self.seizing.is_empty() || self.anchoring
    }

    /// Whether nothing is taken.
    pub(crate) fn is_balanced(&self) -> bool {
        self.admitted.is_none() && self.seized.is_empty() && !self.anchored
    }

    /// After a restore: what the call had taken where it lived before.
    pub(crate) fn restored(
        admitted: Option<Arc<Trunk>>,
        seized: impl Iterator<Item = (u32, Target)>,
        anchored: bool,
    ) -> Self {
        Self { admitted, seized: seized.collect(), anchored, ..Self::default() }
    }

    /// What is taken, for a checkpoint.
    pub(crate) fn admitted_trunk(&self) -> Option<&Arc<Trunk>> {
        self.admitted.as_ref()
    }

    /// Every channel that is taken, with its attempt.
    pub(crate) fn seized_targets(&self) -> &[(u32, Target)] {
        &self.seized
    }

    /// The trunks of which a channel is taken, one entry a channel.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.admitted.iter().chain(self.seized.iter().filter_map(|(_, target)| crate::attempt::trunk_of(target)))
    }

    /// The target whose channel is taken for `attempt`.
    pub(crate) fn seized_target(&self, attempt: u32) -> Option<&Target> {
        self.seized.iter().find(|(number, _)| *number == attempt).map(|(_, target)| target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::Tables;
    use routing::model::Trunk;

    fn trunk() -> Arc<Trunk> {
        let text = "[[trunk]]\nname = \"t\"\n[trunk.egress]\ngateways = [ { address = \"192.0.2.2\" } ]\n";
        let document = routing::Document::parse(&[("t.toml".into(), text.to_owned())]).expect("valid");
        let mut tables = Tables::default();
        let change = tables.plan_change(&document, routing::Scope::Declare).expect("valid");
        tables.apply(&change).expect("valid");
        tables.trunks()["t"].clone()
    }

    #[test]
    fn a_channel_that_comes_too_late_goes_back_at_once() {
        let (mut ledger, mut out) = (Ledger::default(), VecDeque::new());
        ledger.seize(&mut out, 1, Target::Trunk(trunk()), 0);
        ledger.forget_seizing(1);
        assert!(ledger.is_waiting());
        out.clear();
        ledger.seized(&mut out, 1, true);
        assert!(matches!(out.pop_front(), Some(Effect::Surrender { .. })));
        assert!(ledger.is_balanced() && !ledger.is_waiting());
    }

    #[test]
    fn everything_is_given_back_once() {
        let (mut ledger, mut out) = (Ledger::default(), VecDeque::new());
        ledger.admit(&mut out, trunk());
        ledger.admitted(true);
        ledger.seize(&mut out, 1, Target::Trunk(trunk()), 0);
        ledger.seized(&mut out, 1, true);
        ledger.anchor(&mut out, 1);
        ledger.anchored(true);
        assert!(!ledger.is_balanced());
        out.clear();
        for _ in 0..2 {
            ledger.surrender(&mut out, 1);
            ledger.release_channels(&mut out);
            ledger.free_media(&mut out);
        }
        assert!(ledger.is_balanced());
        assert_eq!(out.len(), 3, "{out:?}");
    }
}
