//! Asks the other nodes, all at once, and never waits long for one. Who does not answer is named, with the reason.

use super::question::{Answer, Page, Question};
use console::api::Missing;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use routing::cluster::{Liveness, Member, NodeId};
use std::sync::Arc;
use std::time::Duration;
use switch::shell::Shell;
use tokio::time::Instant;

/// How long a node may take for one answer: several round trips around the world.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a node may take for all its pages.
const PATIENCE_ALL: Duration = Duration::from_secs(5);

/// The other members.
pub(super) struct Peers {
    shell: Arc<Shell>,
}

/// What the nodes have said, each with its number, and who has not.
#[derive(Debug, PartialEq)]
pub(super) struct Heard<T> {
    pub told: Vec<(NodeId, T)>,
    pub missing: Vec<Missing>,
}

impl Peers {
    pub(super) const fn new(shell: Arc<Shell>) -> Self {
        Self { shell }
    }

    /// Asks every node the same. `read` takes what it wants out of the answer.
    pub(super) async fn ask<T>(&self, question: &Question, read: impl Fn(Answer) -> Option<T>) -> Heard<T> {
        let read = &read;
        let answers = self.asked(question).into_iter().map(|member| async move {
            let answer = self.one(&member, question, read).await;
            (member, answer)
        });
        let mut heard = Heard { told: Vec::new(), missing: Vec::new() };
        for (member, answer) in join_all(answers).await {
            match answer {
                Ok(answer) => heard.told.push((member.id, answer)),
                Err(why) => heard.missing.push(missing(&member, why)),
            }
        }
        heard
    }

    /// The first that has what is asked for; `read` finds it in an answer.
    ///
    /// # Errors
    /// None has it, but perhaps one of these nodes, which do not answer.
    pub(super) async fn find<T>(
        &self,
        question: &Question,
        read: impl Fn(Answer) -> Option<Option<T>>,
    ) -> Result<T, Vec<(NodeId, Missing)>> {
        let read = &read;
        let answers = self.asked(question).into_iter().map(|member| async move {
            let answer = self.one(&member, question, read).await;
            (member, answer)
        });
        let mut answers: FuturesUnordered<_> = answers.collect();
        let mut silent = Vec::new();
        while let Some((member, answer)) = answers.next().await {
            match answer {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(why) => silent.push((member.id, missing(&member, why))),
            }
        }
        Err(silent)
    }

    /// Asks every node for page after page until each has told `limit` rows or has no more. What came before a node fell
    /// silent stays.
    pub(super) async fn gather<T>(
        &self,
        limit: usize,
        question: impl Fn(Option<String>, usize) -> Question,
        read: impl Fn(Answer) -> Option<Page<T>>,
    ) -> Heard<Page<T>> {
        let (question, read, until) = (&question, &read, Instant::now() + PATIENCE_ALL);
        let answers = self.asked(&question(None, limit)).into_iter().map(|member| async move {
            let turn = |asked: Question| {
                let member = &member;
                async move { self.one(member, &asked, read).await }
            };
            let (page, why) = pages(limit, until, question, turn).await;
            (member, page, why)
        });
        let mut heard = Heard { told: Vec::new(), missing: Vec::new() };
        for (member, page, why) in join_all(answers).await {
            heard.missing.extend(why.map(|why| missing(&member, why)));
            heard.told.push((member.id, page));
        }
        heard
    }

    /// Asks one node.
    ///
    /// # Errors
    /// Why there is no answer, in words that follow its name.
    pub(super) async fn one<T>(
        &self,
        member: &Member,
        question: &Question,
        read: impl Fn(Answer) -> Option<T>,
    ) -> Result<T, String> {
        if self.is_dead(member.id) {
            return Err(if member.liveness == Liveness::Fenced { "fenced" } else { "down" }.to_owned());
        }
        let body = question.encode().into();
        let answer = self.shell.cluster.question(member.id, body, PATIENCE).await.map_err(|error| words(&error))?;
        match Answer::decode(&answer) {
            Some(Answer::Refused { why }) => Err(why),
            answer => answer.and_then(read).ok_or_else(|| "its answer is not understood".to_owned()),
        }
    }

    /// The others that a question concerns, by name.
    fn asked(&self, question: &Question) -> Vec<Member> {
        let (me, replicated) = (self.shell.cluster.me(), self.shell.cluster.replicated());
        let others = replicated.members().values().filter(|member| member.id != me);
        let mut others: Vec<Member> = others.filter(|member| concerns(question, member)).cloned().collect();
        others.sort_by(|one, other| one.name.cmp(&other.name));
        others
    }

    /// Whether the mesh has given a node up: it need not be waited for.
    fn is_dead(&self, node: NodeId) -> bool {
        let peers = self.shell.cluster.mesh().map(mesh::Handle::peers).unwrap_or_default();
        peers.iter().any(|peer| peer.id == node && peer.state == mesh::liveness::State::Dead)
    }
}

/// A witness carries nothing, so only what it is can be asked of it.
fn concerns(question: &Question, member: &Member) -> bool {
    *question == Question::Node || !member.witness
}

pub(super) fn missing(member: &Member, why: String) -> Missing {
    Missing { node: member.name.to_string(), site: member.site.to_string(), why }
}

fn words(error: &mesh::Error) -> String {
    match error {
        mesh::Error::TimedOut(_) => format!("silent for {} s", PATIENCE.as_secs()),
        mesh::Error::Refused(_) => "takes no questions yet".to_owned(),
        mesh::Error::Full(_) => "too much waits for it".to_owned(),
        mesh::Error::Unreachable(_)
        | mesh::Error::TooLarge { .. }
        | mesh::Error::Listen { .. }
        | mesh::Error::Bare(_)
        | mesh::Error::Tls { .. }
        | mesh::Error::Certificate { .. }
        | mesh::Error::NotTaken { .. }
        | mesh::Error::Tables(_)
        | mesh::Error::Stopped => "cannot be reached".to_owned(),
    }
}

/// Asks for pages until there are `limit` rows or no more; what there is then, and why it ended early if it did.
pub(super) async fn pages<T, F>(
    limit: usize,
    until: Instant,
    question: impl Fn(Option<String>, usize) -> Question,
    mut turn: impl FnMut(Question) -> F,
) -> (Page<T>, Option<String>)
where
    F: Future<Output = Result<Page<T>, String>>,
{
    let mut all = Page { rows: Vec::new(), next: None };
    loop {
        match turn(question(all.next.clone(), limit - all.rows.len())).await {
            Ok(page) => {
                all.rows.extend(page.rows);
                let goes_on = page.next.is_some() && page.next != all.next;
                all.next = page.next;
                if all.rows.len() >= limit || !goes_on {
                    return (all, None);
                }
            }
            Err(why) => return (all, Some(why)),
        }
        if Instant::now() > until {
            return (all, Some(format!("told only a part within {} s", PATIENCE_ALL.as_secs())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::ready;

    fn soon() -> Instant {
        Instant::now() + PATIENCE_ALL
    }

    fn trunks(after: Option<String>, _: usize) -> Question {
        Question::Trunks { after }
    }

    /// Ten rows, three a page.
    fn turn(asked: Question) -> std::future::Ready<Result<Page<u32>, String>> {
        let Question::Trunks { after } = asked else { panic!("{asked:?}") };
        let first = after.map_or(0, |after| after.parse::<u32>().expect("a number") + 1);
        let last = (first + 3).min(10);
        ready(Ok(Page { rows: (first..last).collect(), next: (last < 10).then(|| (last - 1).to_string()) }))
    }

    #[test]
    fn pages_follow_each_other_until_there_is_enough_or_no_more() {
        let gathered = |limit| pages(limit, soon(), trunks, turn).now_or_never().expect("nothing waits");
        let (all, why) = gathered(usize::MAX);
        assert_eq!((all.rows, all.next, why), ((0..10).collect(), None, None));
        let (some, why) = gathered(5);
        assert_eq!((some.rows.len(), some.next.as_deref(), why), (6, Some("5"), None), "there is more");
    }

    #[test]
    fn a_node_that_falls_silent_has_told_what_it_told() {
        let silent = |asked: Question| {
            if asked == trunks(None, 0) { turn(asked) } else { ready(Err("down".to_owned())) }
        };
        let (some, why) = pages(usize::MAX, soon(), trunks, silent).now_or_never().expect("nothing waits");
        assert_eq!((some.rows.len(), why.as_deref()), (3, Some("down")));
        let (some, why) = pages(usize::MAX, Instant::now(), trunks, turn).now_or_never().expect("nothing waits");
        assert_eq!((some.rows.len(), some.next.as_deref()), (3, Some("2")));
        assert!(why.is_some_and(|why| why.contains("only a part")), "one that is too slow as well");
    }

    #[test]
    fn a_node_that_says_the_same_again_and_again_is_not_asked_for_ever() {
        let mut turns = 0;
        let stuck = |_| {
            turns += 1;
            assert!(turns < 9, "it is asked again and again");
            ready(Ok(Page { rows: vec![1], next: Some("x".to_owned()) }))
        };
        let (some, _) = pages(usize::MAX, soon(), trunks, stuck).now_or_never().expect("it ends");
        assert_eq!(some.rows.len(), 2);
    }
}
