//! Enumerations that an operator writes as one word, and what names and other words may consist of.

/// Declares an enumeration with its words; the first one is the default.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that an operator writes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Of the word that an operator wrote.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                [$(Self::$variant),+][0]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

/// Whether some text may name a row.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    begins && text.len() <= 64 && text.bytes().all(inner)
}

/// What is wrong with free text and how it is mended; nothing if it may stand in a row.
pub(crate) fn check_words(text: &str) -> Result<(), (&'static str, &'static str)> {
    match text {
        "" => Err(("it is empty", "write it, or leave the key out")),
        text if text.chars().any(char::is_control) => Err(("it holds a control character", "remove it")),
        text if text.len() > 256 => Err(("it is longer than 256 bytes", "shorten it")),
        _ => Ok(()),
    }
}
