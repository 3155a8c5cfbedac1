//! What the console asks of everything alive. The composition root implements it.

use crate::api;
use crate::imports::Import;
use crate::problem::Problem;
use crate::sample::Sample;
use routing::model::Destination;
use std::collections::HashMap;
use std::pin::Pin;

/// An answer that may take a moment. The console gives up on it after its own timeout.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// The live side of the cluster, as one node finds it. What another node did not tell is named in the answer.
pub trait Switchboard: Send + Sync + 'static {
    /// Whether the node takes calls.
    ///
    /// # Errors
    /// Why it does not.
    fn ready(&self) -> Result<(), String>;

    /// The figures of what is here now: trunks, other nodes, the machine. Called on a thread that may block.
    fn samples(&self) -> Vec<Sample>;

    /// The live calls that match, at most [`CallFilter::limit`](api::CallFilter::limit), which is always set.
    fn calls(&self, filter: api::CallFilter) -> Answer<'_, api::Calls>;

    /// One call with its ladder, one that has ended as long as a node keeps that; nothing only if no node has it. If one that
    /// could have it does not answer, that is a problem.
    fn call(&self, asked: api::CallQuery) -> Answer<'_, Option<api::Call>>;

    /// Ends a call, wherever it is; `false` if there is none of this id, else as [`Switchboard::call`].
    fn hangup(&self, id: String) -> Answer<'_, bool>;

    /// Every trunk as it stands, by name.
    fn trunks(&self) -> Answer<'_, api::Trunks>;

    /// At most so many bindings.
    fn registrations(&self, limit: usize) -> Answer<'_, api::Registrations>;

    /// Whether somebody is registered as each of these lines and trunks; what cannot be known just now is left out.
    fn registered(&self, whom: Vec<Destination>) -> Answer<'_, HashMap<Destination, bool>>;

    /// The nodes of the cluster.
    fn nodes(&self) -> Answer<'_, api::Nodes>;

    /// The cluster as this node sees it.
    fn cluster(&self) -> Answer<'_, api::Cluster>;

    /// Begins to empty a node, or lets it take part again. Its calls and shards move to the others while it goes on.
    fn drain(&self, asked: api::Drain) -> Answer<'_, ()>;

    /// Removes a node from the cluster for good.
    fn remove(&self, name: String) -> Answer<'_, ()>;

    /// Reads the rows of a file to its end and makes one revision of them. All or nothing: a mistake in the last line leaves
    /// the tables as they were.
    fn import(&self, import: Import) -> Answer<'_, api::Imported>;

    /// The newest call records that match, the oldest first, at most [`CdrFilter::limit`](api::CdrFilter::limit), which is
    /// always set.
    fn cdrs(&self, filter: api::CdrFilter) -> Answer<'_, Vec<api::Cdr>>;
}
