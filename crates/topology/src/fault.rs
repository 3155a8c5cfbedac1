//! A fault plan: what breaks when, and who is meant by it.

mod read;
#[cfg(test)]
mod tests;

use crate::{Error, Node, Topology};
use std::fmt;

/// Timed steps, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The name of its file.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// The steps, the earliest first.
    pub steps: Vec<Step>,
    /// When the run is over and everything must be well again, in milliseconds from its start.
    pub ends_ms: u64,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Milliseconds from the start of the run.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What happens to whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The process ends at once, as with its machine.
    Kill(Target),
    /// The process stands still (SIGSTOP).
    Stop(Target),
    /// It goes on (SIGCONT).
    Continue(Target),
    /// It starts again on its data.
    Restart(Target),
    /// Nothing passes any more, in both directions.
    Cut(Link),
    /// It passes again; `None`: everywhere.
    Heal(Option<Link>),
}

/// Who is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `node:NAME`
    Node(String),
    /// `site:NAME`
    Site(String),
    /// Whoever leads the tables at that moment.
    Leader,
    /// Everybody.
    All,
    /// Whom the plan has killed or stopped, and not brought back.
    Affected,
}

/// Everything between two nodes, two sites, or a node and a site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// One end.
    pub one: Target,
    /// The other end.
    pub other: Target,
}

impl Plan {
    /// Reads a plan; `name` is for messages.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        read::plan(name, text)
    }

    /// Whether every node and site that it names is in the topology.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, topology: &Topology) -> Result<(), Error> {
        let named = self.steps.iter().flat_map(|step| step.action.targets());
        for target in named {
            let known = match target {
                Target::Node(name) => topology.node(name).is_some(),
                Target::Site(name) => topology.site(name).next().is_some(),
                Target::Leader | Target::All | Target::Affected => true,
            };
            if !known {
                let what = format!("`{target}` is not in the topology {}", topology.name);
                return Err(Error::clash(&self.name, what, "name one of its nodes or sites"));
            }
        }
        Ok(())
    }
}

impl Action {
    /// Whom the step names.
    #[must_use]
    pub fn targets(&self) -> Vec<&Target> {
        match self {
            Self::Kill(target) | Self::Stop(target) | Self::Continue(target) | Self::Restart(target) => vec![target],
            Self::Cut(link) | Self::Heal(Some(link)) => vec![&link.one, &link.other],
            Self::Heal(None) => Vec::new(),
        }
    }
}

impl Target {
    /// The nodes that are meant, when `leader` leads and `affected` are down by this plan. Nobody where there is no
    /// leader.
    #[must_use]
    pub fn nodes<'t>(&self, topology: &'t Topology, leader: Option<&str>, affected: &[String]) -> Vec<&'t Node> {
        let meant = |node: &&Node| match self {
            Self::Node(name) => node.name == *name,
            Self::Site(name) => node.site == *name,
            Self::Leader => leader == Some(&*node.name),
            Self::All => true,
            Self::Affected => affected.contains(&node.name),
        };
        topology.nodes.iter().filter(meant).collect()
    }
}

impl Link {
    /// Each pair of nodes between which it runs, once.
    #[must_use]
    pub fn pairs<'t>(&self, topology: &'t Topology) -> Vec<(&'t Node, &'t Node)> {
        let [ones, others] = [&self.one, &self.other].map(|end| end.nodes(topology, None, &[]));
        let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (*one, *other)));
        pairs.filter(|(one, other)| one.name != other.name).collect()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Site(name) => write!(f, "site:{name}"),
            Self::Leader => f.write_str("leader"),
            Self::All => f.write_str("all"),
            Self::Affected => f.write_str("affected"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target}"),
            Self::Stop(target) => write!(f, "stop {target}"),
            Self::Continue(target) => write!(f, "continue {target}"),
            Self::Restart(target) => write!(f, "restart {target}"),
            Self::Cut(Link { one, other }) => write!(f, "cut {one} from {other}"),
            Self::Heal(Some(Link { one, other })) => write!(f, "heal {one} and {other}"),
            Self::Heal(None) => f.write_str("heal all"),
        }
    }
}
