//! The wire: every request and response, their validation, the route list and the error codes.
