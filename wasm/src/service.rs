//! The whole API in memory, as one class.

use sommos_core::{
    control::Unstoppable,
    par::Par,
    service::{self, Request, ServiceConfig},
    time::Timestamp,
};
use wasm_bindgen::prelude::*;

/// The API in memory: `handle` answers requests, `runNext` does the work that they queue.
#[wasm_bindgen]
pub struct Service(service::Service);

/// One answer.
#[wasm_bindgen]
pub struct Answer(service::Response);

#[wasm_bindgen]
impl Service {
    /// A service of this configuration (JSON; `{}` for the defaults) at `now_ms` (Unix
    /// milliseconds).
    ///
    /// # Errors
    /// When the configuration is no JSON, has an unknown field or a limit out of range.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str, now_ms: f64) -> Result<Self, JsError> {
        let config: ServiceConfig = serde_json::from_str(config)?;
        Ok(Self(service::Service::new(config, timestamp(now_ms))?))
    }

    /// Answers a request.
    #[allow(
        clippy::too_many_arguments,
        reason = "an object would cost a copy a field"
    )]
    pub fn handle(
        &mut self,
        now_ms: f64,
        method: &str,
        path: &str,
        query: &str,
        content_type: &str,
        accept: &str,
        body: &[u8],
    ) -> Answer {
        let request = Request {
            method,
            path,
            query,
            content_type,
            accept,
            body,
        };
        Answer(self.0.handle(timestamp(now_ms), &request))
    }

    /// Runs one piece of queued work that is due; false when there is none.
    #[wasm_bindgen(js_name = runNext)]
    pub fn run_next(&mut self, now_ms: f64) -> bool {
        self.0.run_next(timestamp(now_ms), Par::Seq, &Unstoppable)
    }

    /// When `runNext` will next have something to do (Unix milliseconds); undefined: not before a
    /// request.
    #[wasm_bindgen(js_name = nextDeadline)]
    pub fn next_deadline(&self) -> Option<f64> {
        self.0.next_deadline().map(|t| t.0 as f64)
    }
}

#[wasm_bindgen]
impl Answer {
    /// The HTTP status.
    #[wasm_bindgen(getter)]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The media type.
    #[wasm_bindgen(getter, js_name = contentType)]
    pub fn content_type(&self) -> String {
        self.0.content_type.to_owned()
    }

    /// The body.
    #[wasm_bindgen(getter)]
    pub fn body(&self) -> Vec<u8> {
        self.0.body.clone()
    }
}

/// `Date.now()` and its like; what is no time is the epoch.
fn timestamp(ms: f64) -> Timestamp {
    // `as` saturates: negative and NaN become 0.
    Timestamp(ms as u64)
}
