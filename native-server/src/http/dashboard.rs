//! The dashboard: a page at `/` and its files below `/dashboard/`, all of which stand in the binary.
//!
//! It is open to anyone who reaches the server: it holds no data. What it shows it asks of the API,
//! with the token that its user enters.

use std::net::IpAddr;

use axum::{extract::Request, http::HeaderValue};
use hyper::{
    Method,
    header::{self, HeaderName},
};
use sommos_core::wire::{ApiError, ErrorCode};

use super::reply::Reply;
use crate::app::App;

/// A file of the dashboard.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! assets {
    ($($content_type:ident: $($file:literal)*;)*) => {
        &[$($(Asset {
            path: concat!("/dashboard/", $file),
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../dashboard/", $file)),
        },)*)*]
    };
}

const PAGE: Asset = Asset {
    path: "/",
    content_type: HTML,
    bytes: include_bytes!("../../dashboard/index.html"),
};

/// Everything that the page loads.
const ASSETS: &[Asset] = assets! {
    CSS: "docs.css" "style/colours.css" "style/layout.css" "style/controls.css" "style/figures.css"
        "style/tables.css" "vendor/uplot/uPlot.min.css";
    SCRIPT: "docs.js" "script/main.js" "script/chart.js" "script/client.js" "script/cluster.js"
        "script/connection.js"
        "script/dialog.js" "script/element.js" "script/format.js" "script/history.js"
        "script/notice.js" "script/panels.js" "script/plot.js" "script/rows.js" "script/samples.js" "script/stream.js"
        "script/tabs.js" "script/theme.js" "script/trend.js"
        "script/views/alerts.js" "script/views/batches.js" "script/views/cache.js"
        "script/views/jobs.js" "script/views/load.js" "script/views/memory.js"
        "script/views/overview.js" "script/views/system.js" "vendor/uplot/uPlot.iife.min.js";
    SVG: "icon.svg";
    TEXT: "vendor/uplot/LICENSE";
};

/// Nothing from elsewhere, no script or style within the page, no frame around it. A flame graph is
/// shown as an image of a `data:` address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                      data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Asked again each time, answered 304: a new server never meets an old page's scripts.
    (header::CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// The answer to a request for a file of the dashboard; `None` for any other path.
pub(super) async fn answer(
    app: &App,
    address: IpAddr,
    request: Request,
) -> Option<Result<Reply, ApiError>> {
    let asset = find(request.uri().path())?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = format!(
            "method {} is not allowed here; allowed: GET",
            request.method()
        );
        return Some(Err(ApiError::new(ErrorCode::MethodNotAllowed, message)));
    }
    if let Some(limiter) = &app.limiter
        && let Err(error) = limiter.check(address).await
    {
        return Some(Err(error));
    }
    let reply = Reply::typed(asset.content_type, asset.bytes).tagged();
    let reply = HEADERS.into_iter().fold(reply, |reply, (name, value)| {
        reply.header(name, HeaderValue::from_static(value))
    });
    Some(Ok(reply))
}

fn find(path: &str) -> Option<&'static Asset> {
    if path == PAGE.path {
        return Some(&PAGE);
    }
    // Twenty-odd comparisons that differ in their length, on the way to a 404 only.
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every address that a file names in quotes after one of these words.
    fn named(text: &str, words: &[&str]) -> Vec<String> {
        words
            .iter()
            .flat_map(|word| text.split(word).skip(1))
            .filter_map(|rest| rest.split(['"', '\'']).next())
            .map(str::to_owned)
            .collect()
    }

    fn text(asset: &Asset) -> &'static str {
        std::str::from_utf8(asset.bytes).unwrap()
    }

    #[test]
    fn the_page_names_only_what_is_served() {
        let links: Vec<_> = named(text(&PAGE), &["src=\"", "href=\""])
            .into_iter()
            .filter(|link| link.starts_with("/dashboard/"))
            .collect();
        assert!(links.len() > 5, "{links:?}");
        for link in links {
            assert!(find(&link).is_some(), "{link}");
        }
    }

    #[test]
    fn scripts_import_only_what_is_served() {
        for asset in ASSETS.iter().filter(|a| a.content_type == SCRIPT) {
            if asset.path.contains("/vendor/") {
                continue;
            }
            let folder = asset.path.rsplit_once('/').unwrap().0;
            for import in named(text(asset), &["from '"]) {
                let path = match import.strip_prefix("../") {
                    Some(rest) => format!("{}/{rest}", folder.rsplit_once('/').unwrap().0),
                    None => format!("{folder}/{}", import.strip_prefix("./").unwrap()),
                };
                assert!(find(&path).is_some(), "{} imports {import}", asset.path);
            }
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        let page = text(&PAGE);
        for word in [" style=", "<style", " onclick=", "javascript:", "//"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=").count()
                + page.matches("<script type=\"module\" src=").count()
        );
        for asset in ASSETS.iter().filter(|a| !a.path.contains("/vendor/")) {
            if asset.content_type == SCRIPT {
                assert!(!text(asset).contains("innerHTML"), "{}", asset.path);
            }
        }
    }
}
