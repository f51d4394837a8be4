//! From an origin to the address that a test connects to. Every address of its name is checked,
//! and the one that was checked is connected to: the name is not asked again.

use std::{net::SocketAddr, time::Duration};

use sommos_core::wire::testing::{TargetOrigin, check_address};

use super::plan::LoadError;

/// Longest wait for the address of a name.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address of an origin.
///
/// # Errors
/// [`LoadError::Target`] when any of its addresses is one that is never tested,
/// [`LoadError::Unresolved`] when it has none.
pub async fn resolve(origin: &TargetOrigin) -> Result<SocketAddr, LoadError> {
    let host = origin.host();
    let unresolved = |reason: String| LoadError::Unresolved {
        host: host.to_owned(),
        reason,
    };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, origin.port())))
        .await
        .map_err(|_| unresolved(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|error| unresolved(error.to_string()))?;
    let addresses: Vec<_> = found.collect();
    for address in &addresses {
        check_address(address.ip())?;
    }
    // Names of this machine have both kinds of address, and most servers listen on the older.
    let older = addresses.iter().find(|address| address.is_ipv4());
    let chosen = older.or(addresses.first());
    chosen
        .copied()
        .ok_or_else(|| unresolved("the name has none".to_owned()))
}

#[cfg(test)]
mod tests {
    use sommos_core::wire::testing::OriginError;

    use super::*;

    async fn of(text: &str) -> Result<SocketAddr, LoadError> {
        resolve(&TargetOrigin::parse(text).unwrap()).await
    }

    #[tokio::test]
    async fn names_are_resolved_and_their_addresses_checked() {
        let local = of("http://localhost:8081").await.unwrap();
        assert!(local.ip().is_loopback() && local.port() == 8081);
        assert_eq!(of("http://[::1]:9").await.unwrap().to_string(), "[::1]:9");
        // The system's resolver takes numbers for addresses, in forms that are names by their
        // letters: each of these is 169.254.169.254.
        for disguised in [
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
            "0251.0376.0251.0376",
        ] {
            let outcome = of(&format!("http://{disguised}")).await;
            let refused = matches!(
                &outcome,
                Err(LoadError::Target(OriginError::Address { .. }))
            );
            let unknown = matches!(&outcome, Err(LoadError::Unresolved { .. }));
            assert!(
                refused || unknown && cfg!(not(target_os = "linux")),
                "{outcome:?}"
            );
        }
        let none = of("http://name.invalid").await;
        assert!(
            matches!(none, Err(LoadError::Unresolved { .. })),
            "{none:?}"
        );
    }
}
