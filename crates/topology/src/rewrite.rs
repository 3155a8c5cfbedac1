//! Moves the addresses of a TOML document elsewhere, whichever keys they stand under.

use std::net::{IpAddr, SocketAddr};
use toml::Value;

/// Replaces each address in each string that is one: alone, with a port, or with the length of a prefix.
pub(crate) fn addresses(value: &mut Value, to: &impl Fn(IpAddr) -> IpAddr) {
    match value {
        Value::String(text) => {
            if let Some(moved) = moved(text, to) {
                *text = moved;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| addresses(item, to)),
        Value::Table(table) => table.iter_mut().for_each(|(_, item)| addresses(item, to)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

fn moved(text: &str, to: &impl Fn(IpAddr) -> IpAddr) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(to(ip).to_string());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(to(address.ip()), address.port()).to_string());
    }
    let (ip, length) = text.split_once('/')?;
    length.parse::<u8>().ok()?;
    Some(format!("{}/{length}", to(ip.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_an_address_moves() {
        let text = "a = [\"127.0.9.1/32\", \"127.0.9.1:5060\"]\nb = \"alpha.example:5060\"\nc = \"+44207\"\nd = 5060\n\
                    [[e]]\nf = { g = \"127.0.9.1\", h = \"trunk:alpha\", i = \"127.0.9.1/x\" }\n";
        let mut value = Value::Table(toml::from_str(text).expect("TOML"));
        addresses(&mut value, &|_| IpAddr::from([127, 70, 1, 5]));
        assert_eq!(value["a"][0].as_str(), Some("127.70.1.5/32"));
        assert_eq!(value["a"][1].as_str(), Some("127.70.1.5:5060"));
        assert_eq!(value["b"].as_str(), Some("alpha.example:5060"));
        assert_eq!(value["c"].as_str(), Some("+44207"));
        assert_eq!(value["d"].as_integer(), Some(5060));
        let inner = &value["e"][0]["f"];
        let texts = ["g", "h", "i"].map(|key| inner[key].as_str());
        assert_eq!(texts, [Some("127.70.1.5"), Some("trunk:alpha"), Some("127.0.9.1/x")]);
    }
}
