//! One request's surroundings: its settings, its clock, and the objects it may ask.

use std::rc::Rc;

use serde::{Serialize, de::DeserializeOwned};
use sommos_core::{
    service::Response,
    time::Timestamp,
    wire::{ApiError, ErrorCode},
};
use worker::{Env, Method, RequestInit, Stub, js_sys::Uint8Array};

use crate::{frame, settings::Settings};

/// The header by which a test brings its clock and space.
pub(crate) const TEST_HEADER: &str = "sommos-test";
/// The space of everyone but tests.
const SPACE: &str = "main";

/// The surroundings of one request, message or cron run.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) env: Env,
    pub(crate) settings: Rc<Settings>,
    pub(crate) now: Timestamp,
    pub(crate) space: Rc<str>,
    /// The test's header, to be handed on.
    pub(crate) control: Option<Rc<str>>,
}

/// The objects, by their bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Jobs,
    Monitor,
    /// The group of this number.
    Cache(u32),
}

/// Unix milliseconds by the platform, which holds its clock still while a call computes.
pub(crate) fn now() -> Timestamp {
    Timestamp(worker::Date::now().as_millis())
}

impl Call {
    /// The surroundings in this environment; `control` is the test's header.
    ///
    /// # Errors
    /// `INTERNAL` for a wrong configuration.
    pub(crate) fn new(env: &Env, control: Option<&str>) -> Result<Self, ApiError> {
        let mut call = Self {
            env: env.clone(),
            settings: Settings::of(env)?,
            now: now(),
            space: SPACE.into(),
            control: None,
        };
        if let Some(text) = control.filter(|_| call.settings.test_control) {
            let (settings, control) = call.settings.controlled(text)?;
            call.settings = Rc::new(settings);
            call.space = control.space.into();
            call.now = control.now.map_or(call.now, Timestamp);
            call.control = Some(text.into());
        }
        Ok(call)
    }

    /// Whether the clock is moved by hand.
    pub(crate) fn by_hand(&self) -> bool {
        self.control.is_some()
    }

    fn stub(&self, object: Object) -> Result<Stub, ApiError> {
        let (binding, name) = match object {
            Object::Jobs => ("JOBS", self.space.to_string()),
            Object::Monitor => ("MONITOR", self.space.to_string()),
            Object::Cache(group) => ("CACHE", format!("{}-{group}", self.space)),
        };
        self.env
            .durable_object(binding)
            .and_then(|namespace| namespace.get_by_name(&name))
            .map_err(|error| unavailable(binding, error))
    }

    /// Sends an object a command and the bytes that go with it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the object cannot be reached: nothing is known then of what it did.
    pub(crate) async fn send<B: AsRef<[u8]>>(
        &self,
        object: Object,
        command: &impl Serialize,
        blobs: &[B],
    ) -> Result<worker::Response, ApiError> {
        let body = frame::encode(&(self.control.as_deref(), command), blobs)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_body(Some(Uint8Array::from(body.as_slice()).into()));
        let lost = |error| unavailable(&format!("{object:?}"), error);
        let request = worker::Request::new_with_init("https://object/", &init).map_err(lost)?;
        self.stub(object)?
            .fetch_with_request(request)
            .await
            .map_err(lost)
    }

    /// The same for commands that answer with a frame; `None` for an answer without a body.
    ///
    /// # Errors
    /// As [`Self::send`], and what the object refused.
    pub(crate) async fn ask<B: AsRef<[u8]>, H: DeserializeOwned>(
        &self,
        object: Object,
        command: &impl Serialize,
        blobs: &[B],
    ) -> Result<Option<frame::Frame<H>>, ApiError> {
        let mut response = self.send(object, command, blobs).await?;
        let status = response.status_code();
        if status == 204 {
            return Ok(None);
        }
        let lost = |error| unavailable(&format!("{object:?}"), error);
        let body = response.bytes().await.map_err(lost)?;
        if status == 200 {
            return frame::decode(&body).map(Some);
        }
        Err(read_error(&body))
    }
}

/// The error in an object's answer.
pub(crate) fn read_error(body: &[u8]) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Body {
        code: String,
        error: String,
        field: Option<String>,
    }
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { code, error, field }) => {
            let code = ErrorCode::from_word(&code).unwrap_or(ErrorCode::Internal);
            let read = ApiError::new(code, error);
            match field {
                Some(field) => read.at(field),
                None => read,
            }
        }
        Err(_) => ApiError::new(
            ErrorCode::Unavailable,
            "an object of the worker did not answer; try again in a moment",
        ),
    }
}

/// 503 for a binding that did not do it.
pub(crate) fn unavailable(what: &str, error: impl core::fmt::Display) -> ApiError {
    let message = format!("{what} cannot be reached: {error}; try again in a moment");
    ApiError::new(ErrorCode::Unavailable, message)
}

/// An answer as the platform sends it.
pub(crate) fn respond(response: Response) -> worker::Result<worker::Response> {
    let built = worker::Response::builder().with_status(response.status);
    let built = match response.status {
        204 | 304 => return Ok(built.empty()),
        _ => built.with_header("content-type", response.content_type)?,
    };
    Ok(built.fixed(response.body))
}

/// The answer to a failed call.
pub(crate) fn refuse(error: &ApiError) -> Response {
    Response {
        status: error.code.status(),
        content_type: "application/json",
        body: error.body(),
    }
}
