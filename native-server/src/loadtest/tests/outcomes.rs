//! Redirects, overloads, rates.

use sommos_core::wire::testing::TargetOrigin;

use super::*;

/// A server that answers every request with these bytes.
async fn fixed(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    target
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_redirect_to_another_origin_ends_the_test_with_its_reason() {
    let elsewhere = "http://169.254.169.254/latest/meta-data";
    let target = fixed(redirect(elsewhere)).await;
    let outcome = crate::loadtest::run(plan(target, "/", 100_000, 2), |_, _| {}, || false).await;
    assert_eq!(outcome, Err(LoadError::Redirect(elsewhere.to_owned())));
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_an_answer_and_is_not_followed() {
    let target = fixed(redirect("/elsewhere")).await;
    let report = run(plan(target, "/", 10, 2)).await;
    assert_eq!(report.statuses, [(302, 10)].into());
    assert_eq!(
        (report.successful_requests, report.errors.redirect),
        (10, 0)
    );
}

#[tokio::test]
async fn a_later_redirect_to_another_origin_is_an_error_with_its_reason() {
    // The first connection gets a good answer and is closed; all others are led away.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let good = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned();
        let mut answers = std::iter::once(good).chain(std::iter::repeat(redirect("//evil.test/")));
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answers.next().unwrap().as_bytes()).await;
        }
    });
    let mut plan = plan(target, "/", 5, 1);
    plan.origin = Some(TargetOrigin::parse("http://cellar.example:8081").unwrap());
    let report = run(plan).await;
    assert_eq!((report.successful_requests, report.errors.redirect), (1, 4));
    let reason = &report.reasons["redirect"];
    assert!(reason.contains("//evil.test/"), "{reason}");
}

/// Every offered request is answered, failed, dropped or abandoned, whatever ends the test.
#[tokio::test]
async fn the_accounts_of_an_overload_add_up() {
    let target = server(true).await;
    for (path, cancels) in [("/alternate", false), ("/hang", true), ("/stall", false)] {
        let mut plan = plan(target, path, 1_000_000, 3);
        plan.rate = Some(20_000.0);
        plan.duration = Some(Duration::from_millis(300));
        plan.timeout = Duration::from_millis(400);
        let begun = std::time::Instant::now();
        let stopped = || cancels && begun.elapsed() > Duration::from_millis(100);
        let report = crate::loadtest::run(plan, |_, _| {}, stopped)
            .await
            .unwrap();
        let told = report.successful_requests + report.failed_requests;
        assert_eq!(report.total_requests, told, "{report:?}");
        let all = told + report.dropped_requests + report.abandoned_requests;
        assert_eq!(report.offered_requests, all, "{report:?}");
        if !cancels {
            assert_eq!(report.offered_requests, 6000, "{report:?}");
        }
        let seconds: f64 = report.series.iter().map(|second| second.rate).sum();
        assert!(told == 0 || seconds > 0.0, "{report:?}");
    }
}

/// Requests are due at a fixed rate, so a whole test takes as long as its requests need: never
/// less, on however slow a machine.
#[tokio::test]
async fn the_open_model_keeps_to_its_rate() {
    let mut plan = plan(server(true).await, "/ok", 101, 4);
    plan.rate = Some(500.0);
    let report = run(plan).await;
    assert_eq!((report.total_requests, report.dropped_requests), (101, 0));
    assert!(report.total_time >= 200.0, "{report:?}");
    assert!(report.achieved_rate.unwrap() <= 505.0, "{report:?}");
}
