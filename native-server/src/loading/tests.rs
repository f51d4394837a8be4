use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use http_body_util::BodyExt as _;
use sommos_core::time::Timestamp;

use super::*;
use crate::{app::Parts, config::Config, http};

/// A server without a listener, whose clock is moved by hand and whose loader is a file.
struct Fixture {
    app: Arc<App>,
    clock: Arc<AtomicU64>,
    folder: PathBuf,
    file: PathBuf,
}

impl Fixture {
    fn new(name: &str, lines: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("sommos-loading-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("loader.ndjson");
        std::fs::write(&file, lines).unwrap();
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000));
        let told = Arc::clone(&clock);
        let parts = Parts {
            clock: Some(Arc::new(move || Timestamp(told.load(Ordering::SeqCst)))),
            ..Parts::default()
        };
        let mut config = Config::for_tests(folder.join("data"));
        config.cache_loader = vec![("wines".into(), file.clone())];
        let app = App::open(config, parts).unwrap();
        Self {
            app,
            clock,
            folder,
            file,
        }
    }

    async fn ask(&self, wanted: CacheGetOrLoad<'static>) -> Result<String, ErrorCode> {
        let answer = get_or_load(&self.app, wanted, self.file.clone()).await;
        answer
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            .map_err(|error| error.code)
    }

    fn write(&self, lines: &str) {
        std::fs::write(&self.file, lines).unwrap();
    }

    fn wait_ms(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// Until no load is running.
    async fn settle(&self) {
        for _ in 0..5000 {
            if self.app.loads.running().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("a load is still running");
    }

    fn sets(&self) -> u64 {
        self.app.cache.stats().sets
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn wanted(key: &str, ttl_ms: Option<u64>, stale_ttl_ms: Option<u64>) -> CacheGetOrLoad<'static> {
    CacheGetOrLoad {
        key: key.to_owned().into(),
        loader: "wines".into(),
        ttl_ms,
        stale_ttl_ms,
        tags: Vec::new(),
    }
}

fn answer(value: &str) -> Result<String, ErrorCode> {
    Ok(format!(r#"{{"success":true,"data":{value}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_askers_are_one_load() {
    // The line wanted comes late, so that all ask while it is looked for.
    let mut lines: String = (0..20_000)
        .map(|i| format!("{{\"key\":\"other{i}\",\"value\":{i}}}\n"))
        .collect();
    lines.push_str("no json\n{\"key\":\"a\",\"value\":[1, 2]}\n");
    let fixture = Arc::new(Fixture::new("many", &lines));
    let asked: Vec<_> = (0..64)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.ask(wanted("a", None, None)).await })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), answer("[1, 2]"));
    }
    assert_eq!(fixture.sets(), 1);
    assert_eq!(
        fixture.ask(wanted("b", None, None)).await,
        Err(ErrorCode::KeyNotFound)
    );
    fixture.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_value_is_answered_at_once_and_loaded_anew_behind_it() {
    let fixture = Fixture::new("stale", "{\"key\":\"a\",\"value\":1}\n");
    let a = || wanted("a", Some(100), Some(50));
    assert_eq!(fixture.ask(a()).await, answer("1"));
    fixture.write("{\"key\":\"a\",\"value\":2}\n");
    fixture.wait_ms(99);
    assert_eq!(fixture.ask(a()).await, answer("1"));
    assert_eq!(fixture.sets(), 1);
    fixture.wait_ms(1);
    assert!(fixture.app.cache.get(fixture.app.now(), "a").is_none());
    assert_eq!(fixture.ask(a()).await, answer("1"));
    fixture.settle().await;
    assert_eq!(fixture.sets(), 2);
    assert_eq!(fixture.ask(a()).await, answer("2"));
    // Past its last deadline it is waited for.
    fixture.write("{\"key\":\"a\",\"value\":3}\n");
    fixture.wait_ms(150);
    assert_eq!(fixture.ask(a()).await, answer("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_leaves_the_stale_value() {
    let fixture = Fixture::new("fails", "{\"key\":\"a\",\"value\":1}\n");
    let a = || wanted("a", Some(100), Some(50));
    assert_eq!(fixture.ask(a()).await, answer("1"));
    std::fs::remove_file(&fixture.file).unwrap();
    fixture.wait_ms(100);
    for _ in 0..3 {
        assert_eq!(fixture.ask(a()).await, answer("1"));
        fixture.settle().await;
    }
    fixture.wait_ms(50);
    assert_eq!(fixture.ask(a()).await, Err(ErrorCode::Unavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_goes_before_the_line() {
    let line = "{\"key\":\"KEY\",\"value\":1,\"ttl\":10,\"staleTtl\":10,\"tags\":[\"line\"]}\n";
    let lines = line.replace("KEY", "a") + &line.replace("KEY", "b");
    let fixture = Fixture::new("before", &lines);
    let cache = &fixture.app.cache;
    let mut b = wanted("b", Some(20), Some(5));
    b.tags = vec!["request".into()];
    fixture.ask(wanted("a", None, None)).await.unwrap();
    fixture.ask(b).await.unwrap();
    fixture.wait_ms(10);
    let freshness = |key| cache.peek(fixture.app.now(), key).map(|found| found.1);
    assert_eq!(freshness("a"), Some(Freshness::Stale));
    assert_eq!(freshness("b"), Some(Freshness::Fresh));
    assert_eq!(cache.invalidate_tag(fixture.app.now(), "line"), 0);
    assert_eq!((freshness("a"), cache.len()), (None, 1));
    assert_eq!(cache.invalidate_tag(fixture.app.now(), "request"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_names_a_loader_and_gets_its_value() {
    let fixture = Fixture::new("call", "{\"key\":{\"id\":7},\"value\":\"rioja\"}\n");
    let post = async |body: &'static str| {
        let request = Request::post("/api/performance/cache/get-or-load")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let response = http::respond(Arc::clone(&fixture.app), client, request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let found = (200, answer("\"rioja\"").unwrap());
    let tagged = r#"{"key":{"id":7},"loader":"wines","ttl":50,"tags":["t"]}"#;
    assert_eq!(post(tagged).await, found);
    assert_eq!(post(tagged).await, found);
    assert_eq!(fixture.app.cache.stats().hits, 1);
    assert_eq!(fixture.app.cache.invalidate_tag(fixture.app.now(), "t"), 1);
    let (status, body) = post(r#"{"key":"b","loader":"wines"}"#).await;
    assert_eq!(status, 404);
    assert!(body.contains("KEY_NOT_FOUND"), "{body}");
    let (status, body) = post(r#"{"key":"b","loader":"beers"}"#).await;
    assert_eq!(status, 400);
    assert!(body.contains("valid: wines"), "{body}");
}
