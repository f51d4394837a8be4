#![allow(clippy::unwrap_used)]

use super::*;

fn report() -> (Vec<Case>, Vec<Point>) {
    let mut cases = Vec::new();
    for (peer, figure) in [("quick_cache", 31.5), ("moka", 7.25)] {
        cases.push(Case::new(
            "cache",
            "10,000 <hot>",
            "M/s",
            40.0,
            Some((peer, figure)),
        ));
    }
    cases.push(Case::new(
        "cache",
        "hits",
        "percent",
        61.25,
        Some(("lru & co", 60.5)),
    ));
    cases.push(Case::new(
        "queue",
        "steps",
        "jobs/s",
        71_312.0,
        Some(("BullMQ", 1200.0)),
    ));
    cases.push(Case::new("queue", "alone", "ms", 2.5, None));
    let curve = Curve {
        title: "Zipf, one thread",
        ours: "ours",
        size_unit: "entries",
        unit: "ns an access",
        cost: |speed| 1e3 / speed,
    };
    let mut points = Vec::new();
    for (size, speed) in [(1_000_000, 4.0), (100, 40.0), (10_000, 20.0)] {
        let figures = [
            ("ours", speed),
            ("moka", speed / 5.0),
            ("quick_cache", f64::NAN),
        ];
        points.extend(curve.points("cache", size, &figures));
    }
    (cases, points)
}

fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document.descendants().filter(|n| n.has_tag_name("text"));
    texts
        .filter_map(|n| n.text())
        .map(|t| t.trim().to_owned())
        .collect()
}

#[test]
fn every_figure_and_every_peer_is_in_the_bars() {
    let (cases, points) = report();
    let plots = all(&cases, &points).unwrap();
    let names: Vec<_> = plots.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(names, ["cache", "queue", "cache-zipf-one-thread"]);
    let cache = texts(&plots[0].1);
    let expected = [
        "40.0 ours",
        "31.5 quick_cache",
        "7.25 moka",
        "61.2 ours",
        "60.5 lru & co",
        "10,000 <hot>",
        "M/s",
        "percent",
    ];
    for text in expected {
        assert!(cache.iter().any(|t| t == text), "{text} in {cache:?}");
    }
    let queue = texts(&plots[1].1);
    for text in ["71,312 ours", "1,200 BullMQ", "2.50 ours", "steps", "alone"] {
        assert!(queue.iter().any(|t| t == text), "{text} in {queue:?}");
    }
}

#[test]
fn a_curve_has_axes_a_legend_and_the_last_figures() {
    let (cases, points) = report();
    let plots = all(&cases, &points).unwrap();
    let curve = texts(&plots[2].1);
    let expected = [
        "cache: Zipf, one thread",
        "entries",
        "ns an access",
        "ours",
        "moka",
        "250",
        "1,250",
        "100",
        "1,000,000",
    ];
    for text in expected {
        assert!(curve.iter().any(|t| t == text), "{text} in {curve:?}");
    }
    assert!(!curve.iter().any(|t| t == "quick_cache"), "it never ran");
}

#[test]
fn the_same_figures_give_the_same_bytes() {
    let (cases, points) = report();
    assert_eq!(all(&cases, &points).unwrap(), all(&cases, &points).unwrap());
}

#[test]
fn many_cases_are_cut_into_columns() {
    let case = |i: usize| Case::new("cache", &format!("trace {i}"), "percent", i as f64, None);
    let cases: Vec<_> = (0..200).map(case).collect();
    let plots = all(&cases, &[]).unwrap();
    let texts = texts(&plots[0].1);
    assert!(texts.iter().any(|t| t == "trace 199"));
    assert!(texts.iter().any(|t| t == "percent (1 of 4)"), "{texts:?}");
}
