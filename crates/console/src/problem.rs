//! An answer that says what is wrong, where, and how to mend it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// What is wrong: the body of every answer that is no success.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// Where: `file:line`, a row, a parameter.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// What else is wrong, if it is several things; the first one stands above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Problem>,
    /// The HTTP status; not part of the body.
    #[serde(skip)]
    pub status: u16,
}

impl Problem {
    /// A problem with its HTTP status.
    #[must_use]
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        Self { error: error.into(), status, ..Self::default() }
    }

    /// With the place.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// With the way to mend it.
    #[must_use]
    pub fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    /// Of what is wrong with a document or a change.
    #[must_use]
    pub fn of_tables(errors: &[routing::Error]) -> Self {
        let mut problems = errors.iter().map(|error| match error {
            routing::Error::Written { place, what, mend } => Self::new(422, what).at(place.to_string()).mend(mend),
            routing::Error::Cell { place, column, header, what, mend } => {
                Self::new(422, what).at(format!("{place}, column {column} `{header}`")).mend(mend)
            }
            routing::Error::Row { key, what, mend } => Self::new(422, what).at(key.to_string()).mend(mend),
        });
        let Some(first) = problems.next() else { return Self::new(422, "the tables would not be valid") };
        Self { more: problems.collect(), ..first }
    }
}

impl From<tables::Error> for Problem {
    fn from(error: tables::Error) -> Self {
        use tables::Error as E;
        let status = match &error {
            E::Refused(errors) => return Self::of_tables(errors),
            E::Moved { .. } | E::Membership(_) | E::Identity { .. } => 409,
            E::NoRevision { .. } => 404,
            E::Busy | E::Stopped | E::NoQuorum { .. } | E::NotFounded => 503,
            E::Write(_) => 507,
            E::Locked { .. } | E::Foreign { .. } | E::Newer { .. } | E::Broken { .. } => 500,
            E::Database { .. } | E::File { .. } | E::Fault(_) | E::Message { .. } => 500,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
