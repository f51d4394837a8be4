//! Errors as JavaScript sees them: an `Error` with a `code` for programs.

use std::fmt::Display;

use wasm_bindgen::JsValue;

/// An `Error` whose `code` is `code`.
pub(crate) fn refuse(code: &str, message: impl Display) -> JsValue {
    let error = js_sys::Error::new(&message.to_string());
    // Cannot fail: the error is an extensible object of our own.
    let _ = js_sys::Reflect::set(&error, &"code".into(), &code.into());
    error.into()
}
