//! Reading a request: its parameters and its body, each refusal in the same form.

use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// The parameters after the `?`.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(value)| Self(value)).map_err(|error| Problem::new(400, error.body_text()).at("the parameters"))
    }
}

/// A JSON body. A page of another origin cannot send one without being asked first, and we never agree.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != "application/json" {
            return Err(Problem::new(415, "the body is not JSON").mend("send `Content-Type: application/json`"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            Problem::new(error.status().as_u16(), error.body_text()).at("the body").mend("send less at once")
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let place = format!("the body, line {} column {}", error.line(), error.column());
            Problem::new(400, error.to_string()).at(place)
        })
    }
}
