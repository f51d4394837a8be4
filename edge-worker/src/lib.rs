//! The same API on Cloudflare Workers.
//!
//! Today this crate only fixes what the edge does not offer, so that the other shells and the
//! shared vectors can say so; the worker itself is not written yet.

use sommos_core::wire::routes::Route;

/// Calls that need a process and therefore answer 501 at the edge.
pub const NOT_OFFERED: [Route; 2] = [Route::TestLoad, Route::TestMemory];

#[cfg(test)]
mod tests {
    use super::NOT_OFFERED;
    use sommos_core::wire::routes::Scope;

    #[test]
    fn only_tests_of_the_process_are_missing() {
        assert!(
            NOT_OFFERED
                .iter()
                .all(|route| route.info().scope == Scope::Admin)
        );
    }
}
