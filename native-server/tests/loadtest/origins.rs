//! Where a load test may go, and where not.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_is_tested_and_never_sees_the_callers_token() {
    let target = Target::start(FINE).await;
    let origin = format!("http://{}", target.address);
    let token = "0123456789abcdef0123456789abcdef";
    let listed = origin.clone();
    let server = Running::start(|config| {
        config.load_test_origin.push(listed);
        config.token = Some(token.to_owned());
    })
    .await;
    let headers = format!("authorization: Bearer {token}\r\n");
    let test = |endpoint: &str| json!({"requests": 8, "concurrency": 2, "endpoint": endpoint});
    let url = format!("{origin}/wines?page=1");
    let (status, answer) = server.ask_as(&headers, "POST", LOAD, test(&url)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["successfulRequests"], 8);
    assert_eq!(target.seen(), 8);
    for head in target.heads.lock().unwrap().iter() {
        assert!(head.starts_with("GET /wines?page=1 HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains(&format!("host: {}\r\n", target.address)),
            "{head}"
        );
        assert!(
            !head.contains("authorization") && !head.contains(token),
            "{head}"
        );
    }
    // This server needs it.
    let own = test("/api/performance/cache/stats");
    let (_, answer) = server.ask_as(&headers, "POST", LOAD, own).await;
    assert_eq!(answer["data"]["successfulRequests"], 8, "{answer}");
    // Nor does the disk see it.
    for file in std::fs::read_dir(&server.folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_network_tells_is_refused_too() {
    let away = Target::start(AWAY).await;
    let origin = format!("http://{}", away.address);
    // A name by its letters, and 169.254.169.254 to the resolver.
    let disguised = "http://2852039166";
    let listed = [
        origin.clone(),
        disguised.to_owned(),
        "http://name.invalid".to_owned(),
    ];
    let server = Running::start(|config| config.load_test_origin.extend(listed)).await;
    let test = |url: &str| json!({"requests": 1000, "concurrency": 4, "endpoint": url});
    let cases = [
        (
            format!("{disguised}/latest"),
            403,
            "FORBIDDEN",
            "link-local",
        ),
        (
            format!("{origin}/"),
            403,
            "FORBIDDEN",
            "http://169.254.169.254/latest",
        ),
        (
            "http://name.invalid/".to_owned(),
            400,
            "INVALID_FIELD",
            "name.invalid",
        ),
        (
            format!("{origin}/api/performance/cache/clear"),
            400,
            "INVALID_FIELD",
            "cache/clear",
        ),
        (
            "http://example.com/".to_owned(),
            400,
            "INVALID_FIELD",
            "--load-test-origin",
        ),
    ];
    for (url, wanted, code, why) in cases {
        let (status, answer) = server.ask("POST", LOAD, test(&url)).await;
        assert_eq!(
            (status, &answer["code"]),
            (wanted, &json!(code)),
            "{url}: {answer}"
        );
        assert!(
            answer["error"].as_str().unwrap().contains(why),
            "{url}: {answer}"
        );
        assert_eq!(answer["field"], "endpoint", "{url}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_not_run_again() {
    let away = Target::start(AWAY).await;
    let origin = format!("http://{}", away.address);
    let listed = origin.clone();
    let server = Running::start(|config| config.load_test_origin.push(listed)).await;
    let test = json!({"requests": 10, "concurrency": 1, "endpoint": origin});
    let id = server.begin(test).await;
    let job = server.until(&id, is("failed")).await;
    assert!(
        job["error"].as_str().unwrap().contains("another origin"),
        "{job}"
    );
    let seen = away.seen();
    let path = format!("/api/performance/async/job/{id}/retry");
    assert_eq!(server.ask("POST", &path, Value::Null).await.0, 200);
    let again = |job: &Value| {
        job["error"]
            .as_str()
            .is_some_and(|e| e.contains("not run again"))
    };
    server.until(&id, again).await;
    assert_eq!(away.seen(), seen);
}
