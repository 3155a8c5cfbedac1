//! Puts together what several nodes have told: one listing of the whole.

use super::local::parse;
use super::question::Page;
use console::api;

/// Calls of all nodes by id, at most `limit`, and whether there are more.
pub(super) fn calls(told: impl IntoIterator<Item = Page<api::Call>>, limit: usize) -> (Vec<api::Call>, bool) {
    let (mut rows, more) = joined(told);
    rows.sort_by_cached_key(|call| (parse(&call.id), call.node.clone()));
    cut(rows, more, limit)
}

/// Registrations of all nodes by name, at most `limit`, and whether there are more.
pub(super) fn registrations(
    told: impl IntoIterator<Item = Page<api::Registration>>,
    limit: usize,
) -> (Vec<api::Registration>, bool) {
    let (mut rows, more) = joined(told);
    // The contacts of one name stay in the order of their preference.
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    cut(rows, more, limit)
}

fn joined<T>(told: impl IntoIterator<Item = Page<T>>) -> (Vec<T>, bool) {
    let (mut rows, mut more) = (Vec::new(), false);
    for page in told {
        more |= page.next.is_some();
        rows.extend(page.rows);
    }
    (rows, more)
}

fn cut<T>(mut rows: Vec<T>, more: bool, limit: usize) -> (Vec<T>, bool) {
    let more = more || rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}

/// Trunks of all nodes by name. What the tables say of one is taken from the first node that tells of it.
pub(super) fn trunks(told: impl IntoIterator<Item = Page<api::Trunk>>) -> Vec<api::Trunk> {
    let (mut rows, _) = joined(told);
    // Stable: the first node that tells of a trunk stays the first.
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let mut all: Vec<api::Trunk> = Vec::new();
    for trunk in rows {
        match all.last_mut().filter(|last| last.name == trunk.name) {
            Some(whole) => add(whole, trunk),
            None => all.push(trunk),
        }
    }
    for trunk in &mut all {
        trunk.nodes.sort_by(|one, other| one.node.cmp(&other.node));
        trunk.gateways.iter_mut().for_each(|gateway| gateway.sites.sort_by(|one, other| one.site.cmp(&other.site)));
    }
    all
}

/// One call, of which every node that has had it tells its part: how it stands now by the node that has it or saw its end, the
/// ladder of all. Nodes that had it and tell nothing are named.
pub(super) fn call(parts: impl IntoIterator<Item = api::Call>, silent: &[api::Missing]) -> Option<api::Call> {
    let mut parts: Vec<api::Call> = parts.into_iter().collect();
    parts.sort_by_key(|part| match &*part.state {
        "moved" => 2,
        "ended" => 1,
        _ => 0,
    });
    let told: Vec<String> = parts.iter().map(|part| part.node.clone()).collect();
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?;
    for part in parts {
        whole.ladder.extend(part.ladder);
        whole.media.extend(part.media);
        let known = |one: &api::Move, moves: &[api::Move]| {
            moves.iter().any(|other| (&other.from, &other.to) == (&one.from, &one.to))
        };
        let news = part.moves.into_iter().filter(|one| !known(one, &whole.moves)).collect::<Vec<_>>();
        whole.moves.extend(news);
        whole.left_out = Some(whole.left_out.unwrap_or(0) + part.left_out.unwrap_or(0)).filter(|count| *count > 0);
    }
    whole.ladder.sort_by_key(|step| step.unix_us);
    whole.moves.sort_by(|one, other| one.at.cmp(&other.at));
    for node in whole.moves.iter().flat_map(|one| [&one.from, &one.to]) {
        if told.contains(node) || whole.missing.iter().any(|one| one.node == *node) {
            continue;
        }
        let nothing =
            || api::Missing { node: node.clone(), why: "keeps nothing of it".to_owned(), ..Default::default() };
        let why = silent.iter().find(|one| one.node == *node).cloned();
        whole.missing.push(why.unwrap_or_else(nothing));
    }
    Some(whole)
}

fn add(whole: &mut api::Trunk, part: api::Trunk) {
    whole.channels_used = whole.channels_used.saturating_add(part.channels_used);
    whole.nodes.extend(part.nodes);
    whole.registered = match (whole.registered, part.registered) {
        (Some(one), Some(other)) => Some(one || other),
        (one, other) => one.or(other),
    };
    for gateway in part.gateways {
        let Some(known) = whole.gateways.iter_mut().find(|known| known.address == gateway.address) else {
            whole.gateways.push(gateway);
            continue;
        };
        improve(&mut known.state, &gateway.state);
        for seen in gateway.sites {
            match known.sites.iter_mut().find(|site| site.site == seen.site) {
                Some(site) => improve(&mut site.state, &seen.state),
                None => known.sites.push(seen),
            }
        }
    }
}

/// A gateway can be used if it can from anywhere, and might be if anybody does not know.
fn improve(state: &mut String, other: &str) {
    let rank = |state: &str| match state {
        "up" => 2,
        "unknown" => 1,
        _ => 0,
    };
    if rank(other) > rank(state) {
        other.clone_into(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page<T>(rows: Vec<T>, next: Option<&str>) -> Page<T> {
        Page { rows, next: next.map(str::to_owned) }
    }

    fn call(id: &str, node: &str) -> api::Call {
        api::Call { id: id.to_owned(), node: node.to_owned(), ..api::Call::default() }
    }

    #[test]
    fn calls_of_all_nodes_stand_by_id_and_what_is_cut_is_said() {
        let told = || {
            let fra = page(vec![call("2.1.5", "fra-1"), call("10.1.1", "fra-1")], None);
            [fra, page(vec![call("3.1.1", "lon-1"), call("a.1.1", "lon-1")], None)]
        };
        let ids = |(rows, more): (Vec<api::Call>, bool)| (rows.into_iter().map(|one| one.id).collect::<Vec<_>>(), more);
        let all = ["2.1.5", "3.1.1", "a.1.1", "10.1.1"].map(str::to_owned);
        assert_eq!(ids(calls(told(), 4)), (all.to_vec(), false), "by number, not by letter");
        assert_eq!(ids(calls(told(), 3)), (all[..3].to_vec(), true));
        let part = [page(vec![call("1.1.1", "ams-1")], Some("1.1.1"))];
        assert_eq!(ids(calls(part, 5)), (vec!["1.1.1".to_owned()], true), "a node has more than it told");
    }

    #[test]
    fn a_call_that_has_moved_is_put_together_and_who_tells_nothing_of_it_is_named() {
        let step = |unix_us, what: &str| api::Step { unix_us, what: what.to_owned(), ..api::Step::default() };
        let moved = |at: &str, from: &str, to: &str| api::Move {
            at: at.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            why: "drain".to_owned(),
        };
        let part = |node: &str, state: &str, ladder: Vec<api::Step>, moves: Vec<api::Move>| api::Call {
            state: state.to_owned(),
            ladder,
            moves,
            left_out: Some(2),
            ..call("1.1.1", node)
        };
        let old = part(
            "lon-1",
            "moved",
            vec![step(3, "given")],
            vec![moved("3", "fra-1", "lon-1"), moved("5", "lon-1", "ams-1")],
        );
        let new =
            part("ams-1", "connected", vec![step(6, "BYE"), step(4, "taken")], vec![moved("4", "lon-1", "ams-1")]);
        let silent = [api::Missing { node: "fra-1".to_owned(), site: "fra".to_owned(), why: "down".to_owned() }];
        let whole = super::call([old.clone(), new], &silent).expect("two parts");
        assert_eq!((&*whole.node, &*whole.state, whole.left_out), ("ams-1", "connected", Some(4)));
        assert_eq!(whole.ladder.iter().map(|step| &*step.what).collect::<Vec<_>>(), ["given", "taken", "BYE"]);
        assert_eq!(whole.moves.iter().map(|one| &*one.at).collect::<Vec<_>>(), ["3", "4"], "a move is told once");
        assert_eq!(whole.missing, silent);
        let alone = super::call([old], &[]).expect("a part");
        assert_eq!((&*alone.state, &*alone.missing[0].node, &*alone.missing[1].node), ("moved", "fra-1", "ams-1"));
        assert!(super::call([], &silent).is_none());
    }

    #[test]
    fn registrations_stand_by_name() {
        let one = |name: &str, contact: &str| api::Registration {
            name: name.to_owned(),
            contact: contact.to_owned(),
            ..api::Registration::default()
        };
        let told = [page(vec![one("bob", "z"), one("bob", "a")], None), page(vec![one("alice", "b")], None)];
        let (rows, more) = registrations(told, 10);
        let seen: Vec<_> = rows.iter().map(|row| (&*row.name, &*row.contact)).collect();
        assert_eq!((seen, more), (vec![("alice", "b"), ("bob", "z"), ("bob", "a")], false));
    }

    fn trunk(node: &str, site: &str, used: u32, gateway: &str, registered: Option<bool>) -> api::Trunk {
        let share = api::Share {
            node: node.to_owned(),
            channels_used: used,
            channels_leased: Some(used + 1),
            registered,
            ..api::Share::default()
        };
        let seen = api::GatewaySite { site: site.to_owned(), state: gateway.to_owned() };
        let gateway = api::Gateway { address: "g".to_owned(), state: gateway.to_owned(), sites: vec![seen] };
        api::Trunk {
            name: "alpha".to_owned(),
            channels_used: used,
            channels_limit: Some(10),
            nodes: vec![share],
            gateways: vec![gateway],
            registered,
            ..api::Trunk::default()
        }
    }

    #[test]
    fn channels_are_summed_and_gateways_are_seen_from_each_site() {
        let told = [
            page(vec![trunk("lon-1", "lon", 3, "down", Some(false))], None),
            page(vec![trunk("fra-1", "fra", 4, "unknown", Some(true))], None),
            page(vec![trunk("lon-2", "lon", 0, "up", None)], None),
        ];
        let rows = trunks(told);
        let [row] = &rows[..] else { panic!("{rows:#?}") };
        assert_eq!((row.channels_used, row.channels_limit, row.registered), (7, Some(10), Some(true)));
        let used: Vec<_> = row.nodes.iter().map(|share| (&*share.node, share.channels_used)).collect();
        assert_eq!(used, [("fra-1", 4), ("lon-1", 3), ("lon-2", 0)]);
        let seen: Vec<_> = row.gateways[0].sites.iter().map(|site| (&*site.site, &*site.state)).collect();
        assert_eq!((&*row.gateways[0].state, seen), ("up", vec![("fra", "unknown"), ("lon", "up")]));
    }

    #[test]
    fn a_trunk_and_a_gateway_that_only_one_node_knows_are_shown() {
        let other = api::Trunk { name: "beta".to_owned(), ..trunk("fra-1", "fra", 1, "up", None) };
        let mut newer = trunk("lon-1", "lon", 1, "down", None);
        newer.gateways[0].address = "h".to_owned();
        let rows = trunks([page(vec![trunk("fra-1", "fra", 1, "down", None), other], None), page(vec![newer], None)]);
        let names: Vec<_> = rows.iter().map(|row| (&*row.name, row.channels_used, row.gateways.len())).collect();
        assert_eq!(names, [("alpha", 2, 2), ("beta", 1, 1)]);
        assert_eq!((rows[0].registered, &*rows[0].gateways[0].state), (None, "down"));
    }
}
