use super::{at, monitor};
use crate::metrics::{Category, Current, ExportRange, Monitor, MonitorConfig};

#[test]
fn reported_requests_count_beside_ours_and_apart_by_route() {
    let monitor = monitor();
    monitor.record_request(0, 200, 1_000, 10);
    for (route, status, us) in [
        ("/api/wines/{id}", 200, 4_000),
        ("/api/wines/{id}", 500, 6_000),
        ("/api/cellar", 404, 2_000),
        // One of ours: the host forwards it.
        ("/api/performance/cache/get/{key}", 200, 3_000),
    ] {
        monitor.record_host_request("GET", route, status, us, 100);
    }
    monitor.tick(at(5));
    let summary = monitor.summary(at(5));
    let application = summary.application;
    assert_eq!(
        (
            application.requests,
            application.responses,
            application.errors
        ),
        (5, 5, 1)
    );
    assert_eq!(
        (application.error_rate, application.response_time),
        (20.0, Some(3.2))
    );
    assert_eq!(application.in_flight, 0);
    assert_eq!(summary.windows.minute.responses, 5);
    let endpoints = monitor.endpoints();
    let shown: Vec<_> = endpoints
        .iter()
        .map(|e| {
            (
                &*e.route,
                e.responses,
                e.errors,
                e.client_errors,
                e.bytes_out,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("/api/performance/cache/get/{key}", 2, 0, 0, 110),
            ("/api/wines/{id}", 2, 1, 0, 200),
            ("/api/cellar", 1, 0, 1, 100),
        ]
    );
    let Current::Api(api) = monitor.current(at(5), Category::Api) else {
        panic!()
    };
    assert_eq!((api.totals.success, api.totals.server_errors), (3, 1));
    let text = monitor.export_prometheus(at(5), &[]);
    assert!(text.contains(r#"http_route="/api/wines/{id}",http_response_status_class="5xx"} 1"#));
    let json = monitor.export_json(at(5), &ExportRange::default()).unwrap();
    assert!(json.contains("/api/cellar"));
}

#[test]
fn routes_beyond_the_bound_count_as_other() {
    let monitor = monitor();
    let before = monitor.memory_bytes();
    for i in 0..1000 {
        monitor.record_host_request("GET", &format!("/wine/{i}{}", "x".repeat(300)), 200, 1, 1);
    }
    let endpoints = monitor.endpoints();
    assert_eq!(endpoints.len(), Monitor::REPORTED_ROUTES_MAX + 1);
    let other = endpoints.iter().find(|e| &*e.route == "other").unwrap();
    assert_eq!(other.responses, 1000 - Monitor::REPORTED_ROUTES_MAX as u64);
    assert!(endpoints.iter().all(|e| e.route.len() <= 256));
    assert_eq!(monitor.summary(at(1)).application.responses, 1000);
    let (after, max) = (monitor.memory_bytes(), Monitor::memory_bytes_max(2));
    assert!(before < after && after <= max, "{before} {after} {max}");
    let restored = Monitor::restore(at(1), MonitorConfig::default(), &monitor.snapshot()).unwrap();
    assert_eq!(restored.endpoints().len(), Monitor::REPORTED_ROUTES_MAX + 1);
    restored.record_host_request("GET", "/wine/new", 200, 1, 1);
    assert_eq!(restored.endpoints().len(), Monitor::REPORTED_ROUTES_MAX + 1);
}

#[test]
fn threads_that_report_new_routes_lose_none() {
    let monitor = monitor();
    // Threads are the test's: core starts none.
    #[allow(clippy::disallowed_methods)]
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let monitor = &monitor;
            scope.spawn(move || {
                for i in 0..2_000usize {
                    let route = format!("/r/{}", (i + thread * 25) % 100);
                    monitor.record_host_request("GET", &route, 200, 1, 1);
                }
            });
        }
    });
    let endpoints = monitor.endpoints();
    assert_eq!(endpoints.len(), 100);
    assert!(endpoints.iter().all(|e| e.responses == 80));
}
