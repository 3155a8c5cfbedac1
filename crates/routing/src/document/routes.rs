//! Reads plans and decks with their routes and rates.

use super::fields::Fields;
use super::value::{Problem, Value, flag, moment, money, name, parsed, prefix, price, short, whole, word};
use crate::model::{Deck, Name, Order, PlanHead, Rate, Route, RouteTrunk};
use crate::row::Row;
use rust_decimal::Decimal;
use toml::de::DeValue;

pub(super) fn plan(fields: &mut Fields<'_, '_>) -> Option<PlanHead> {
    let name = fields.need("name", name);
    let order = fields.get("order", |value| word(value, Order::of_word, Order::WORDS)).unwrap_or_default();
    let margin = fields.get("margin", money);
    Some(PlanHead { name: name?, order, margin })
}

pub(super) fn route(fields: &mut Fields<'_, '_>, plan: Option<&Name>) -> Option<Row> {
    let prefix = fields.need("prefix", prefix);
    let hours = fields.get("hours", parsed);
    let items = fields.need("trunks", |value| match value.get_ref() {
        DeValue::Array(items) if !items.is_empty() => Ok(items.iter().collect::<Vec<_>>()),
        DeValue::Array(_) => Err(bad(value, "it is empty", "name at least one trunk")),
        DeValue::String(_) => Err(bad(value, "it is a string, not a list", "write it as [\"…\"]")),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            Err(bad(value, "it is not a list", "write it as [\"…\"]"))
        }
    });
    let trunks: Vec<_> = items?.into_iter().filter_map(|item| route_trunk(fields, item)).collect();
    for (at, item) in trunks.iter().enumerate() {
        if trunks[..at].iter().any(|before| before.trunk == item.trunk) {
            fields.wrong("trunks", &format!("trunk `{}` stands in it twice", item.trunk), "remove one of them");
        }
    }
    Some(Row::Route(Route { plan: plan?.clone(), prefix: prefix?, trunks: trunks.into(), hours }))
}

fn bad(value: &Value<'_>, what: &str, mend: &str) -> Problem {
    Problem { span: value.span(), what: what.into(), mend: mend.into() }
}

/// A trunk by its name, or as a table with more to say.
fn route_trunk<'t, 'i>(fields: &mut Fields<'t, 'i>, value: &'t Value<'i>) -> Option<RouteTrunk> {
    if value.get_ref().is_str() {
        let trunk = fields.read("trunks", value, name)?;
        return Some(RouteTrunk { trunk, priority: None, weight: RouteTrunk::DEFAULT_WEIGHT, hairpin: false });
    }
    let mut item = fields.item("trunks", value)?;
    let trunk = item.need("trunk", name);
    let priority = item.get("priority", |value| short(value, 0..=u16::MAX));
    let weight = item.get("weight", |value| short(value, 0..=u16::MAX)).unwrap_or(RouteTrunk::DEFAULT_WEIGHT);
    let hairpin = item.get("hairpin", flag).unwrap_or_default();
    item.finish();
    Some(RouteTrunk { trunk: trunk?, priority, weight, hairpin })
}

pub(super) fn deck(fields: &mut Fields<'_, '_>) -> Option<Deck> {
    let name = fields.need("name", name);
    let currency = fields.need("currency", parsed);
    Some(Deck { name: name?, currency: currency? })
}

pub(super) fn rate(fields: &mut Fields<'_, '_>, deck: Option<&Name>) -> Option<Row> {
    let prefix = fields.need("prefix", prefix);
    let rate = fields.need("rate", price);
    let connect_fee = fields.get("connect_fee", price).unwrap_or(Decimal::ZERO);
    let initial = fields.get("initial", |value| whole(value, 0..=86_400)).unwrap_or(1);
    let next = fields.get("next", |value| whole(value, 1..=86_400)).unwrap_or(1);
    let (from, to) = (fields.get("from", moment), fields.get("to", moment));
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        fields.wrong("to", "`to` is not after `from`", "write a later moment");
    }
    let (deck, prefix, rate) = (deck?.clone(), prefix?, rate?);
    Some(Row::Rate(Rate { deck, prefix, rate, connect_fee, initial, next, from, to }.into()))
}
