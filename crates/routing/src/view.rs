//! What an INVITE reads: the tables with their indexes, immutable and shared.

mod plans;
mod screening;
mod sources;

pub(crate) use plans::PlanIndex;
pub(crate) use screening::Screening;

use crate::change::Change;
use crate::digits::{E164, Prefix};
use crate::model::{Account, Name, Number, Price, Trunk, User};
use crate::plan::{Plan, Query, Refusal};
use crate::row::{Kind, Row, RowKey};
use crate::tables::Tables;
use rustc_hash::{FxHashMap, FxHashSet};
use sip::clock::Wall;
use sources::Sources;
use std::net::IpAddr;
use std::sync::Arc;

/// The tables of one revision, ready to route. A clone shares everything.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Of the tables that it was built from.
    pub revision: u64,
    tables: Tables,
    plans: FxHashMap<Name, Arc<PlanIndex>>,
    trunks: Arc<TrunkIndex>,
    users: Arc<FxHashMap<Name, Vec<Arc<User>>>>,
    screening: Arc<Screening>,
}

/// The trunks by what a request shows of them.
#[derive(Debug, Default)]
struct TrunkIndex {
    by_name: FxHashMap<Name, Arc<Trunk>>,
    by_username: FxHashMap<Name, Arc<Trunk>>,
    by_source: Sources,
}

impl View {
    /// Of whole tables.
    #[must_use]
    pub fn build(tables: &Tables, revision: u64) -> Self {
        Self {
            revision,
            tables: tables.clone(),
            plans: tables.plans().iter().map(|(name, rows)| (name.clone(), Arc::new(PlanIndex::build(rows)))).collect(),
            trunks: Arc::new(TrunkIndex::build(tables)),
            users: Arc::new(users_by_account(tables)),
            screening: Arc::new(Screening::build(tables)),
        }
    }

    /// Of the tables that changes led to from those of `previous`; what they do not touch is taken over, so that a plan of
    /// a million prefixes costs nothing when a trunk changes.
    #[must_use]
    pub fn rebuild(previous: &Self, tables: &Tables, touched: &Touched, revision: u64) -> Self {
        let plan = |name: &Name, rows| match previous.plans.get(name) {
            Some(index) if !touched.plans.contains(name) => index.clone(),
            Some(_) | None => Arc::new(PlanIndex::build(rows)),
        };
        Self {
            revision,
            tables: tables.clone(),
            plans: tables.plans().iter().map(|(name, rows)| (name.clone(), plan(name, rows))).collect(),
            trunks: touched.keep(Kind::Trunk, &previous.trunks, || TrunkIndex::build(tables)),
            users: touched.keep(Kind::User, &previous.users, || users_by_account(tables)),
            screening: touched.keep(Kind::Screen, &previous.screening, || Screening::build(tables)),
        }
    }

    /// The tables that it was built from.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The trunk of this name.
    #[must_use]
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.by_name.get(name)
    }

    /// All trunks by name.
    pub fn trunks(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.tables.trunks().values()
    }

    /// The trunks of the most specific block that holds `source`. Several may share a block: a digest or a tech prefix
    /// tells them apart.
    #[must_use]
    pub fn trunks_from(&self, source: IpAddr) -> &[Arc<Trunk>] {
        self.trunks.by_source.holding(source)
    }

    /// The trunk whose ingress has this digest user name.
    #[must_use]
    pub fn trunk_by_username(&self, username: &str) -> Option<&Arc<Trunk>> {
        self.trunks.by_username.get(username)
    }

    /// The line of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.tables.users().get(name)
    }

    /// The lines of an account, by name.
    #[must_use]
    pub fn users_of_account(&self, account: &str) -> &[Arc<User>] {
        self.users.get(account).map_or(&[], Vec::as_slice)
    }

    /// The account of this name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.tables.accounts().get(name)
    }

    /// The number, if we serve it.
    #[must_use]
    pub fn number(&self, number: E164) -> Option<&Arc<Number>> {
        self.tables.numbers().get(&number)
    }

    /// The routing number of a number that moved to another network.
    #[must_use]
    pub fn lrn(&self, number: E164) -> Option<E164> {
        self.tables.ported().get(number)
    }

    /// What `deck` charges for calls to `number` that begin at `at`: of the longest prefix that has a rate then, the one
    /// that began last.
    #[must_use]
    pub fn price(&self, deck: &str, number: Prefix, at: Wall) -> Option<Price> {
        self.tables.decks().get(deck)?.price(number, at)
    }

    /// Whether `account` owns `number`: it is one of its served numbers, or the caller number of one of its lines.
    #[must_use]
    pub fn owns(&self, account: &str, number: E164) -> bool {
        let served = self.number(number).is_some_and(|row| row.account.as_deref() == Some(account));
        served || self.users_of_account(account).iter().any(|user| user.caller == Some(number))
    }

    /// Plans a call: what to try, in order.
    ///
    /// # Errors
    /// Why there is nothing to try.
    pub fn plan(&self, query: &Query<'_>) -> Result<Plan, Refusal> {
        crate::plan::plan(self, query).0
    }

    /// Plans a call and says of every trunk looked at what became of it, also when nothing is left to try.
    pub fn explain(&self, query: &Query<'_>) -> (Result<Plan, Refusal>, Vec<crate::Candidate>) {
        let (result, candidates) = crate::plan::plan(self, &Query { explain: true, ..*query });
        match result {
            Ok(plan) => {
                let candidates = plan.candidates.clone();
                (Ok(plan), candidates)
            }
            Err(refusal) => (Err(refusal), candidates),
        }
    }

    pub(crate) fn plan_index(&self, name: &str) -> Option<&Arc<PlanIndex>> {
        self.plans.get(name)
    }

    pub(crate) fn screening(&self) -> &Screening {
        &self.screening
    }
}

impl TrunkIndex {
    fn build(tables: &Tables) -> Self {
        let trunks = tables.trunks();
        let username = |trunk: &Arc<Trunk>| Some((trunk.ingress.as_ref()?.username.clone()?, trunk.clone()));
        Self {
            by_name: trunks.iter().map(|(name, trunk)| (name.clone(), trunk.clone())).collect(),
            by_username: trunks.values().filter_map(username).collect(),
            by_source: Sources::build(trunks.values()),
        }
    }
}

fn users_by_account(tables: &Tables) -> FxHashMap<Name, Vec<Arc<User>>> {
    let mut accounts: FxHashMap<Name, Vec<Arc<User>>> = FxHashMap::default();
    for user in tables.users().values() {
        if let Some(account) = &user.account {
            accounts.entry(account.clone()).or_default().push(user.clone());
        }
    }
    accounts
}

/// What changes touch, as far as a view is built anew for it.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    kinds: Vec<Kind>,
    plans: FxHashSet<Name>,
}

impl Touched {
    /// By one change.
    #[must_use]
    pub fn by(change: &Change) -> Self {
        let mut touched = Self::default();
        touched.add_change(change);
        touched
    }

    /// By one change more.
    pub fn add_change(&mut self, change: &Change) {
        change.put.iter().map(Row::key).for_each(|key| self.add(&key));
        change.delete.iter().for_each(|key| self.add(key));
    }

    /// By a row that is put or deleted.
    pub fn add(&mut self, key: &RowKey) {
        if !self.kinds.contains(&key.kind()) {
            self.kinds.push(key.kind());
        }
        if let RowKey::Plan(plan) | RowKey::Route { plan, .. } = key
            && !self.plans.contains(plan)
        {
            self.plans.insert(plan.clone());
        }
    }

    fn keep<T>(&self, kind: Kind, before: &Arc<T>, build: impl FnOnce() -> T) -> Arc<T> {
        if self.kinds.contains(&kind) { Arc::new(build()) } else { before.clone() }
    }
}
