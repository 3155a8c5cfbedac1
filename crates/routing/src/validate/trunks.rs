//! Rules on trunks: whom they belong to, and that a request tells which one it is.

use super::Rules;
use crate::model::{CallerPolicy, Cidr, Ingress, Name, Srtp, Transport, Trunk};
use crate::row::{Kind, RowKey};
use rustc_hash::FxHashMap;

impl Rules<'_> {
    pub(super) fn trunks(&mut self) {
        let mut usernames: FxHashMap<Name, RowKey> = FxHashMap::default();
        for user in self.tables.users().values() {
            usernames.insert(user.name.clone(), RowKey::User(user.name.clone()));
        }
        let mut sources: FxHashMap<(Cidr, &str), &Name> = FxHashMap::default();
        for trunk in self.tables.trunks().values() {
            let key = RowKey::Trunk(trunk.name.clone());
            self.refer(&key, "account", Kind::Account, trunk.account.as_ref());
            let deck = trunk.egress.as_ref().and_then(|egress| egress.buy_deck.as_ref());
            self.refer(&key, "buy_deck", Kind::Deck, deck);
            self.not_yet(&key, trunk);
            let Some(ingress) = &trunk.ingress else { continue };
            self.refer(&key, "plan", Kind::Plan, ingress.plan.as_ref());
            self.owner(&key, trunk, ingress);
            self.username(&key, ingress, &mut usernames);
            if ingress.username.is_none() {
                for block in &ingress.from {
                    if let Some(other) = sources.insert((*block, &ingress.tech_prefix), &trunk.name) {
                        let what =
                            format!("`from` holds {block}, as trunk `{other}` does, and nothing tells them apart");
                        self.fault(
                            key.clone(),
                            "from",
                            what,
                            "give one of them its own `tech_prefix`, or a `username`",
                        );
                    }
                }
            }
        }
    }

    /// What the tables can say and no node does yet: refused, because a call that is less safe than its row says would be
    /// worse than none.
    fn not_yet(&mut self, key: &RowKey, trunk: &Trunk) {
        if trunk.srtp == Srtp::Required {
            let what = "`srtp = \"required\"`: this version does not encrypt media".to_owned();
            self.fault(key.clone(), "srtp", what, "write `off` or `optional`, or wait for a version that does");
        }
        let gateways = trunk.egress.as_ref().map_or(&[][..], |egress| &egress.gateways);
        if gateways.iter().any(|gateway| gateway.transport == Transport::Tls) {
            let what = "`transport = \"tls\"`: this version does not speak TLS to gateways".to_owned();
            self.fault(key.clone(), "gateways", what, "write `udp` or `tcp`, or wait for a version that does");
        }
    }

    fn owner(&mut self, key: &RowKey, trunk: &Trunk, ingress: &Ingress) {
        if ingress.caller_policy == CallerPolicy::Owned && trunk.account.is_none() {
            let what = "`caller_policy` is `owned` without an account".to_owned();
            self.fault(key.clone(), "caller_policy", what, "write `account`, or another `caller_policy`");
        }
    }

    /// All who come by digest share one realm, so a user name means one of them.
    fn username(&mut self, key: &RowKey, ingress: &Ingress, known: &mut FxHashMap<Name, RowKey>) {
        let Some(username) = &ingress.username else { return };
        if let Some(other) = known.insert(username.clone(), key.clone()) {
            let what = format!("`username` `{username}` is that of {other} too");
            self.fault(key.clone(), "username", what, "give each its own user name");
        }
    }
}
