//! Ids by which a request is found again in logs.

/// The header, in requests and answers.
pub const HEADER: &str = "x-request-id";
/// Longest id taken from a caller, bytes.
pub const BYTES_MAX: usize = 128;

/// Whether a caller's id can be taken over: 1 to [`BYTES_MAX`] letters, digits and `-_.:`, so that
/// it can stand in any log and header as it is.
#[must_use]
pub fn is_well_formed(id: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for id in ["a", "0f8fad5b-d9cb-469f-a165-70867728950e", "gw:1.2_3"] {
            assert!(is_well_formed(id.as_bytes()), "{id}");
        }
        assert!(is_well_formed(&[b'x'; BYTES_MAX]));
        for id in ["", "a b", "a\nb", "\"", "é", "a/b", "a=b"] {
            assert!(!is_well_formed(id.as_bytes()), "{id}");
        }
        assert!(!is_well_formed(&[b'x'; BYTES_MAX + 1]));
    }
}
