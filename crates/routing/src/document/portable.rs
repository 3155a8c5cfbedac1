//! A document on its way to another node: the same rows with the same places, so that whoever leads says what is wrong
//! with it in the words of its author.

use super::{Document, Marks};
use crate::error::Place;
use crate::model::Name;
use crate::row::{Kind, Row, RowKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

#[derive(Serialize, Deserialize)]
struct Portable {
    rows: Vec<(Row, Place)>,
    marks: Vec<(RowKey, Vec<(String, u32)>)>,
    kinds: Vec<String>,
    decks_kept: Vec<Name>,
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let marks = |marks: &Marks| marks.iter().map(|(name, line)| (name.to_string(), *line)).collect();
        let portable = Portable {
            rows: self.rows.values().cloned().collect(),
            marks: self.marks.iter().map(|(key, list)| (key.clone(), marks(list))).collect(),
            kinds: self.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            decks_kept: self.decks_kept.iter().cloned().collect(),
        };
        portable.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let portable = Portable::deserialize(deserializer)?;
        let marks = |list: Vec<(String, u32)>| list.into_iter().map(|(name, line)| (Cow::Owned(name), line)).collect();
        Ok(Self {
            rows: portable.rows.into_iter().map(|entry| (entry.0.key(), entry)).collect(),
            marks: portable.marks.into_iter().map(|(key, list)| (key, marks(list))).collect(),
            // A table that this version does not know has no rows here either.
            kinds: portable.kinds.iter().filter_map(|word| Kind::of_word(word)).collect(),
            decks_kept: portable.decks_kept.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scope, Tables};

    #[test]
    fn a_document_that_travelled_says_the_same() {
        let text = "[[user]]\nname = \"bob\"\npassword = \"x\"\n\naccount = \"nobody\"\n[[deck]]\nname = \"d\"\ncurrency = \"EUR\"\n";
        let written = Document::parse(&[("a.toml".into(), text.into())]).unwrap();
        let body = serde_json::to_string(&written).unwrap();
        let read: Document = serde_json::from_str(&body).unwrap();
        assert!(written.rows().eq(read.rows()));
        assert!(read.names(Kind::User) && !read.names(Kind::Trunk) && read.keeps_rates_of(&"d".into()));
        let refusal = |document| Tables::default().plan_change(document, Scope::Declare).unwrap_err();
        assert_eq!(refusal(&written), refusal(&read));
        assert!(refusal(&read)[0].to_string().starts_with("a.toml:5: "), "{:?}", refusal(&read));
    }
}
