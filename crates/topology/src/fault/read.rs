//! Reads a plan: its TOML, and what its types cannot say.

use super::{Action, Link, Plan, Step, Target};
use crate::Error;
use serde::Deserialize;

/// A run that lasts longer is a soak, and needs no plan of steps.
const LONGEST_MS: u64 = 3_600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    ends_ms: u64,
    #[serde(default)]
    step: Vec<Written>,
}

/// A step as it is written: exactly one of its keys beside `at_ms` is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at_ms: u64,
    kill: Option<String>,
    stop: Option<String>,
    #[serde(rename = "continue")]
    go_on: Option<String>,
    restart: Option<String>,
    cut: Option<Vec<String>>,
    heal: Option<Ends>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ends {
    All(String),
    Two(Vec<String>),
}

/// The whole file.
pub(super) fn plan(name: &str, text: &str) -> Result<Plan, Error> {
    let file: File = toml::from_str(text).map_err(|error| Error::toml(name, text, &error))?;
    let mut plan = Plan { name: name.to_owned(), about: file.about, steps: Vec::new(), ends_ms: file.ends_ms };
    let mut last_ms = 0;
    for (index, written) in file.step.into_iter().enumerate() {
        let place = Place { name, step: index + 1 };
        if written.at_ms < last_ms {
            return Err(place.wrong(
                "at_ms",
                format!("{} ms is before the step above", written.at_ms),
                "sort the steps",
            ));
        }
        last_ms = written.at_ms;
        plan.steps.push(Step { at_ms: written.at_ms, action: action(written, &place)? });
    }
    if plan.steps.is_empty() {
        return Err(Error::key(name, "step", "nothing happens", "add a [[step]]"));
    }
    if plan.ends_ms < last_ms || plan.ends_ms > LONGEST_MS {
        let what = format!("{} ms is before the last step, or more than an hour", plan.ends_ms);
        return Err(Error::key(name, "ends_ms", what, format!("choose {last_ms} to {LONGEST_MS}")));
    }
    brought_back(&plan)?;
    Ok(plan)
}

struct Place<'a> {
    name: &'a str,
    step: usize,
}

impl Place<'_> {
    fn wrong(&self, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Error {
        Error::key(self.name, format!("step {}: {key}", self.step), what, mend)
    }

    fn target(&self, key: &str, text: &str) -> Result<Target, Error> {
        let target = match (text, text.split_once(':')) {
            ("leader", _) => Target::Leader,
            ("all", _) => Target::All,
            ("affected", _) => Target::Affected,
            (_, Some(("node", name))) if !name.is_empty() => Target::Node(name.to_owned()),
            (_, Some(("site", name))) if !name.is_empty() => Target::Site(name.to_owned()),
            _ => {
                let mend = "write node:NAME, site:NAME, leader, all or affected";
                return Err(self.wrong(key, format!("`{text}` is nobody"), mend));
            }
        };
        Ok(target)
    }

    fn link(&self, key: &str, ends: &[String]) -> Result<Link, Error> {
        let mend = "write two of node:NAME and site:NAME, such as [\"site:fra\", \"site:lon\"]";
        let [one, other] = ends else { return Err(self.wrong(key, format!("{} ends", ends.len()), mend)) };
        let link = Link { one: self.target(key, one)?, other: self.target(key, other)? };
        let fixed = |target: &Target| matches!(target, Target::Node(_) | Target::Site(_));
        if link.one == link.other || !fixed(&link.one) || !fixed(&link.other) {
            return Err(self.wrong(key, format!("nothing can be cut between `{one}` and `{other}`"), mend));
        }
        Ok(link)
    }
}

fn action(written: Written, place: &Place<'_>) -> Result<Action, Error> {
    let Written { at_ms: _, kill, stop, go_on, restart, cut, heal } = written;
    let mut actions = Vec::new();
    let target = |key, text: Option<String>| text.map(|text| place.target(key, &text)).transpose();
    actions.extend(target("kill", kill)?.map(Action::Kill));
    actions.extend(target("stop", stop)?.map(Action::Stop));
    actions.extend(target("continue", go_on)?.map(Action::Continue));
    actions.extend(target("restart", restart)?.map(Action::Restart));
    if let Some(ends) = cut {
        actions.push(Action::Cut(place.link("cut", &ends)?));
    }
    match heal {
        Some(Ends::All(word)) if word == "all" => actions.push(Action::Heal(None)),
        Some(Ends::All(word)) => {
            return Err(place.wrong("heal", format!("`{word}` is no link"), "write \"all\", or the two ends of one"));
        }
        Some(Ends::Two(ends)) => actions.push(Action::Heal(Some(place.link("heal", &ends)?))),
        None => {}
    }
    match (actions.pop(), actions.is_empty()) {
        (Some(action), true) => Ok(action),
        (None, _) => Err(place.wrong("at_ms", "nothing happens", "add kill, stop, continue, restart, cut or heal")),
        (Some(_), false) => Err(place.wrong("at_ms", "two things happen", "write a [[step]] for each")),
    }
}

/// A plan ends with a cluster that is whole: who breaks a thing brings it back.
fn brought_back(plan: &Plan) -> Result<(), Error> {
    let (mut dead, mut still, mut cut) = (false, false, Vec::new());
    for step in &plan.steps {
        match &step.action {
            Action::Kill(_) => dead = true,
            Action::Restart(_) => dead = false,
            Action::Stop(_) => still = true,
            Action::Continue(_) => still = false,
            Action::Cut(link) => cut.push(link),
            Action::Heal(None) => cut.clear(),
            Action::Heal(Some(link)) => {
                cut.retain(|one| *one != link && (&one.one, &one.other) != (&link.other, &link.one));
            }
        }
    }
    let left = [(dead, "restart"), (still, "continue"), (!cut.is_empty(), "heal")];
    match left.into_iter().find(|(left, _)| *left) {
        None => Ok(()),
        Some((_, key)) => {
            Err(Error::key(plan.name.as_str(), key, "is missing at the end", format!("add a step with {key}")))
        }
    }
}
