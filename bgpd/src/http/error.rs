//! Refusals of the API: a status and a body that says what to do.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rutter_api::control::ErrorBody;

use crate::instance::Stopped;
use crate::supervisor::IntentError;

/// A refusal.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    /// A refusal that no single field is to blame for.
    #[must_use]
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody::new(error) }
    }

    /// 422 for a field of the request body.
    #[must_use]
    pub fn field(field: impl Into<String>, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), field: Some(field.into()) };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body }
    }

    /// 404.
    #[must_use]
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<IntentError> for ApiError {
    fn from(error: IntentError) -> Self {
        match error {
            IntentError::Invalid(invalid) => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody::from(&invalid) }
            }
            IntentError::Resolve { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            IntentError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl From<Stopped> for ApiError {
    fn from(error: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(error: QueryRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(error: BytesRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}
