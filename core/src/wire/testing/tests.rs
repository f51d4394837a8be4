use super::{OriginError, Target, TargetOrigin, TargetOrigins, check_address, decode_wait};

fn origins() -> TargetOrigins {
    TargetOrigins::new(["http://cellar.example:8081", "http://[::1]:9000"]).unwrap()
}

/// Why an endpoint is refused; empty: it is not.
fn refusal(endpoint: &str) -> String {
    match Target::parse(endpoint, &origins()) {
        Ok(_) => String::new(),
        Err(error) => {
            assert_eq!(error.field.as_deref(), Some("endpoint"), "{endpoint}");
            error.message.into_owned()
        }
    }
}

#[test]
fn paths_of_this_server_and_listed_origins_are_tested() {
    for good in [
        "/",
        "/api/wines",
        "/api/performance/cache/get/a%2Fb?x=//y&z=%0a",
        "/api/performance/test-drive",
        "/api/performance/cache/keys",
    ] {
        assert_eq!(refusal(good), "", "{good}");
    }
    let target = |endpoint: &str| Target::parse(endpoint, &origins()).unwrap();
    let found = target("HTTP://Cellar.example:8081?q=1");
    assert_eq!(found.path, "/?q=1");
    assert_eq!(
        found.origin.unwrap().to_string(),
        "http://cellar.example:8081"
    );
    let found = target("http://[0:0:0:0:0:0:0:1]:9000/a");
    assert_eq!(
        (found.path.as_str(), found.origin.unwrap().host()),
        ("/a", "::1")
    );
}

#[test]
fn other_origins_are_refused_and_told_which_would_be_right() {
    for other in [
        "http://example.com/",
        "http://cellar.example/",
        "http://cellar.example:8082/",
        "http://cellar.example.evil.test:8081/",
        "http://[::1]:9001/",
    ] {
        let why = refusal(other);
        assert!(why.contains("http://cellar.example:8081"), "{other}: {why}");
    }
    let none = Target::parse("http://example.com/", &TargetOrigins::default()).unwrap_err();
    assert!(
        none.message.ends_with("--load-test-origin (none)"),
        "{none}"
    );
}

#[test]
fn every_other_form_of_an_address_is_refused_with_its_reason() {
    let cases = [
        ("", "begins with one /"),
        ("api/wines", "begins with one /"),
        ("//example.com/", "another origin"),
        ("///example.com/", "another origin"),
        (r"\\example.com\", r"without \ and #"),
        (r"/\example.com", r"without \ and #"),
        (r"http:\\cellar.example:8081\", r"without \ and #"),
        (
            r"http://cellar.example:8081\@evil.test/",
            r"without \ and #",
        ),
        ("file:///etc/passwd", "scheme \"file\""),
        ("https://cellar.example:8081/", "scheme \"https\""),
        ("gopher://cellar.example:8081/", "scheme \"gopher\""),
        ("javascript:alert(1)", "scheme \"javascript\""),
        ("http:/cellar.example", "scheme \"http\""),
        (
            "http://user:pass@cellar.example:8081/",
            "user name or password",
        ),
        (
            "http://cellar.example:8081@evil.test/",
            "user name or password",
        ),
        ("http://cellar.example:0/", "port \"0\""),
        ("http://cellar.example:+80/", "port \"+80\""),
        ("http://cellar.example:99999/", "port \"99999\""),
        ("http:///path", "host \"\""),
        ("http://cellar%2eexample:8081/", "host"),
        ("http://[::1/", "host"),
        ("http://[::1]9000/", "host"),
        ("/a b", "printable"),
        ("/a\r\nX: y", "printable"),
        ("/a\tb", "printable"),
        ("/a\u{e9}", "printable"),
        ("/a%0d%0aX:%20y", "control characters"),
        ("/a%250d", "control characters"),
        ("/a#b", r"without \ and #"),
    ];
    for (endpoint, expected) in cases {
        let why = refusal(endpoint);
        assert!(why.contains(expected), "{endpoint}: {why}");
    }
}

#[test]
fn metadata_and_link_local_addresses_are_refused_even_when_listed() {
    for host in [
        "169.254.169.254",
        "169.254.1.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "100.100.100.200",
        "0.0.0.0",
        "[::]",
        "255.255.255.255",
        "224.0.0.1",
        "[ff02::1]",
        "metadata.google.internal",
        "METADATA.google.internal.",
    ] {
        let url = format!("http://{host}/latest/meta-data");
        assert!(
            refusal(&url).contains("never tested"),
            "{url}: {}",
            refusal(&url)
        );
        let listed = TargetOrigins::new([format!("http://{host}").as_str()]);
        assert!(matches!(listed, Err(OriginError::Address { .. })), "{host}");
    }
    for fine in [
        "127.0.0.1",
        "10.0.0.1",
        "::1",
        "fd00::1",
        "192.168.1.1",
        "8.8.8.8",
    ] {
        assert!(check_address(fine.parse().unwrap()).is_ok(), "{fine}");
    }
}

#[test]
fn admin_paths_are_refused_however_they_are_written() {
    for path in [
        "/api/performance/test/load",
        "/api/performance/test/load?wait=false",
        "/api/performance/test/memory",
        "/api/performance/cache/clear",
        "/api/performance/events",
        "/api/performance/test/load/",
        "/api/performance/test/load/more",
        "/API/Performance/Test/LOAD",
        "/api/performance/test/lo%61d",
        "/api/performance/test%2Fload",
        "/api/performance/test%252Fload",
        "/api/performance//test///load",
        "/api/./performance/x/../test/load",
        "/api/performance/%2e%2e/performance/test/load",
        "/x/..;a=b/api/performance/test/load",
        "/api/performance/test;v=1/load",
        "/api%5cperformance%5ctest%5cload",
        "/..//../api/performance/cache/clear",
        "http://cellar.example:8081/api/performance/cache/clear",
    ] {
        let why = refusal(path);
        assert!(why.contains("cannot be tested under load"), "{path}: {why}");
    }
    let deep = "/%25252525252525252561";
    assert!(refusal(deep).contains("too often"), "{}", refusal(deep));
}

#[test]
fn a_redirect_that_leaves_its_origin_is_told_from_one_that_stays() {
    let origin = TargetOrigin::parse("http://cellar.example:8081/").unwrap();
    for stays in [
        "/a",
        "a/b",
        "?q",
        "http://cellar.example:8081/x",
        "//CELLAR.example:8081/",
    ] {
        assert_eq!(origin.leaves(stays), None, "{stays}");
    }
    for leaves in [
        "http://evil.test/",
        "https://cellar.example:8081/",
        "http://cellar.example/",
        "//evil.test",
        r"/\evil.test",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
    ] {
        assert_eq!(origin.leaves(leaves).as_deref(), Some(leaves));
    }
}

#[test]
fn an_origin_has_no_path_and_names_its_port() {
    let parse = |text| TargetOrigin::parse(text).map(|origin| (origin.authority(), origin.port()));
    assert_eq!(parse("http://a"), Ok(("a".to_owned(), 80)));
    assert_eq!(parse("http://A:80/"), Ok(("a".to_owned(), 80)));
    assert_eq!(parse("http://[::1]:81"), Ok(("[::1]:81".to_owned(), 81)));
    assert!(matches!(parse("http://a/b"), Err(OriginError::Path(_))));
    assert!(matches!(parse("a:80"), Err(OriginError::Scheme(_))));
    assert!(matches!(parse(""), Err(OriginError::Scheme(_))));
}

#[test]
fn waiting_is_the_default() {
    assert_eq!(decode_wait(""), Ok(true));
    assert_eq!(decode_wait("wait=true"), Ok(true));
    assert_eq!(decode_wait("wait=false"), Ok(false));
    assert!(decode_wait("wait=no").is_err());
}
