//! `[[account]]`: whom calls are charged to, a customer, a vendor or both.

use super::{Name, words};
use crate::digits::serde_by_text;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

words! {
    /// How an account pays.
    Billing {
        /// On an invoice, afterwards.
        Postpaid = "postpaid",
        /// From a balance, beforehand.
        Prepaid = "prepaid",
    }
}

/// A currency by its three letters (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Some text is no currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a currency is three capital letters, for example EUR")]
pub struct BadCurrency;

impl Currency {
    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| BadCurrency)?;
        if letters.iter().all(u8::is_ascii_uppercase) { Ok(Self(letters)) } else { Err(BadCurrency) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_by_text!(Currency, "a currency of three letters");

/// A customer, a vendor or both.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Unique among accounts.
    pub name: Name,
    /// Of its balance and limits.
    pub currency: Currency,
    /// How it pays.
    pub billing: Billing,
    /// The opening balance of a prepaid account.
    pub balance: Option<Decimal>,
    /// The most that its calls may cost a day.
    pub daily_spend_limit: Option<Decimal>,
    /// What we charge for calls from its trunks.
    pub sell_deck: Option<Name>,
    /// The plan of its users, and of calls that its numbers forward.
    pub plan: Option<Name>,
}
