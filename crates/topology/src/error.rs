//! What is wrong with a file of `cluster/`, where, and how to mend it.

/// Everything that can be wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The text is no TOML, or has a key that is not known here.
    #[error("{file}:{line}: {what}")]
    Toml {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// A key is missing, or its value cannot be.
    #[error("{file}: {key}: {what}; {mend}")]
    Key {
        /// The file.
        file: String,
        /// Section and key.
        key: String,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// The files do not fit each other.
    #[error("{file}: {what}; {mend}")]
    Clash {
        /// The file that does not fit.
        file: String,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
}

impl Error {
    pub(crate) fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(text));
        let line = before.matches('\n').count() + 1;
        Self::Toml { file: file.to_owned(), line, what: error.message().replace('\n', "; ") }
    }

    pub(crate) fn key(file: &str, key: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Key { file: file.to_owned(), key: key.into(), what: what.into(), mend: mend.into() }
    }

    pub(crate) fn clash(file: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Clash { file: file.to_owned(), what: what.into(), mend: mend.into() }
    }
}
