//! Cache calls.

mod answers;
mod distributed;
mod key;
mod requests;
#[cfg(test)]
mod tests;

pub use answers::*;
pub use distributed::*;
pub use key::{canonical_json, decode_path_key, decode_path_tag};
pub use requests::*;
