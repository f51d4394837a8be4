use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::control::Unstoppable;

fn run(items: Value, types: Value, options: Value) -> Result<Extraction, FeatureError> {
    let types = FeatureType::parse_list(&types)?;
    let options: FeatureOptions = serde_json::from_value(options).expect("options");
    let items = items.as_array().expect("items").clone();
    extract(&items, &types, &options, &Limits::default(), &Unstoppable)
}

fn one(kind: &str, item: Value, options: Value) -> Value {
    let out = run(json!([item]), json!([kind]), options).unwrap();
    out.features[0].features.values().next().unwrap().clone()
}

fn error(items: Value, types: Value) -> String {
    run(items, types, json!({}))
        .expect_err("an error")
        .to_string()
}

#[test]
fn text_is_counted_in_words_of_any_script() {
    let text = "Château d'Yquem: excellent, EXCELLENT wine — 2015!";
    let out = one(
        "text_features",
        json!({"text": text}),
        json!({"termBuckets": 4}),
    );
    assert_eq!(out["length"], 50);
    assert_eq!(out["wordCount"], 7);
    assert_eq!(out["uniqueWords"], 6);
    assert_eq!(
        out["vocabulary"],
        json!(["château", "yquem", "excellent", "wine", "2015"])
    );
    assert_eq!(out["avgWordLength"], json!(39.0 / 7.0));
    assert_eq!(out["sentiment"], "positive");
    let terms: u64 = out["terms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(terms, 7);
    let empty = one("text_features", json!({"id": 1}), json!({}));
    assert_eq!(
        (&empty["wordCount"], &empty["avgWordLength"]),
        (&json!(0), &json!(0))
    );
    let own = one(
        "text_features",
        json!({"notes": "corked"}),
        json!({"textField": "notes"}),
    );
    assert_eq!(own["sentiment"], "negative");
}

#[test]
fn numbers_get_z_scores_and_ranges() {
    let items = json!([{"id": 1, "p": 10, "c": 3}, {"id": 2, "p": 20, "c": 3}, {"id": 3, "p": 30}]);
    let out = run(items, json!(["numerical_features"]), json!({})).unwrap();
    let z = (1.5f64).sqrt();
    assert_eq!(
        out.features[2].features["numerical"],
        json!({"p": 30, "p_zScore": z, "p_minMax": 1})
    );
    assert_eq!(
        out.features[0].features["numerical"],
        json!({"p": 10, "p_zScore": -z, "p_minMax": 0, "c": 3, "c_zScore": 0, "c_minMax": 0})
    );
    assert_eq!(out.statistics["numerical"]["p"]["mean"], 20);
    assert_eq!(out.statistics["numerical"]["c"]["count"], 2);
    assert_eq!(out.features[1].id, 2);
    assert!(out.feature_names.contains(&"numerical.p_zScore".to_owned()));
}

#[test]
fn categories_beyond_the_maximum_are_other() {
    let items = json!([
        {"t": "Red", "d": "2024-01-01", "b": true}, {"t": "Red"}, {"t": "White"}, {"t": "Rosé"},
    ]);
    let out = run(
        items,
        json!(["categorical_features"]),
        json!({"categoriesMax": 2}),
    )
    .unwrap();
    let of = |i: usize| out.features[i].features["categorical"].clone();
    assert_eq!(
        of(0),
        json!({"t": "Red", "t_frequency": 0.5, "b": true, "b_frequency": 1,
            "oneHot": {"t=Red": 1, "b=true": 1}})
    );
    assert_eq!(
        of(2)["oneHot"],
        json!({"t=other": 1}),
        "a tie goes to the first by name"
    );
    assert_eq!(of(3)["oneHot"], json!({"t=Rosé": 1}));
    assert_eq!(
        out.statistics["categorical"]["t"]["counts"],
        json!({"Red": 2, "Rosé": 1})
    );
    assert_eq!(
        out.feature_names,
        [
            "categorical.b",
            "categorical.b_frequency",
            "categorical.oneHot.b=true",
            "categorical.oneHot.t=Red",
            "categorical.oneHot.t=Rosé",
            "categorical.oneHot.t=other",
            "categorical.t",
            "categorical.t_frequency"
        ]
    );
}

#[test]
fn dates_are_read_in_utc() {
    let item = json!({"date": "2024-03-15T18:30:00+02:00", "createdAt": 0, "price": 5, "t": "Red"});
    let out = one("temporal_features", item.clone(), json!({}));
    assert_eq!(
        out,
        json!({
            "date": {"timestamp": 1_710_520_200_000i64, "year": 2024, "month": 2, "day": 15,
                "hour": 16, "dayOfWeek": 5, "season": "spring"},
            "createdAt": {"timestamp": 0, "year": 1970, "month": 0, "day": 1, "hour": 0,
                "dayOfWeek": 4, "season": "winter"},
        })
    );
    let south = one("temporal_features", item, json!({"hemisphere": "south"}));
    assert_eq!(
        (&south["date"]["season"], &south["createdAt"]["season"]),
        (&json!("autumn"), &json!("summer"))
    );
}

#[test]
fn wines_in_both_spellings() {
    let item = json!({"wine_type": "Red", "vintage": 2015, "alcohol_content": 13.5, "price": 80,
        "grape_varieties": ["Merlot", "Cabernet Franc"], "body": "Full-bodied", "acidity": "High",
        "region": "Pomerol"});
    assert_eq!(
        one("wine_features", item, json!({"referenceYear": 2025})),
        json!({"wineType": 1,
            "type": {"Red": 1, "Rosé": 0, "Sparkling": 0, "Dessert": 0, "Fortified": 0, "White": 0},
            "vintage": 2015, "vintageAge": 10, "grapeVarietyCount": 2, "dominantGrape": "Merlot",
            "alcoholLevel": 13.5, "alcoholCategory": "medium", "body": 4, "acidity": 3, "price": 80,
            "priceTier": "premium", "region": "Pomerol"})
    );
    let csv = json!({"Type": "Dessert/Port", "Vintage": "N.V.", "ABV": "20%",
        "Grapes": "['A', 'B']",
        "Body": "Very full-bodied"});
    let out = one("wine_features", csv, json!({}));
    assert_eq!(out["wineType"], 5);
    assert_eq!(out["grapeVarietyCount"], 2);
    assert_eq!(
        (&out["alcoholCategory"], &out["body"]),
        (&json!("high"), &json!(5))
    );
    assert!(out.get("vintage").is_none() && out.get("priceTier").is_none());
}

#[test]
fn dishes_from_fields_and_from_words() {
    let item = json!({"name": "Spicy lamb tagine", "description": "Braised, rich; with champagne",
        "ingredients": ["lamb", "harissa", {"name": "apricot"}]});
    assert_eq!(
        one("dish_features", item, json!({})),
        json!({"ingredientCount": 3, "cookingMethod": "braised", "proteinType": "lamb",
            "intensity": "heavy", "spiceLevel": 2})
    );
    let item = json!({"name": "Champagne sorbet", "cuisine": "French", "spice_level": "mild"});
    assert_eq!(
        one("dish_features", item, json!({})),
        json!({"cuisine": "french", "spiceLevel": 1}),
        "no ham in champagne"
    );
}

#[test]
fn errors_name_the_item() {
    assert_eq!(
        error(json!([]), json!(["text_features", "smell"])),
        "featureTypes[1]: unknown feature type \"smell\"; expected one of text_features, \
         numerical_features, categorical_features, temporal_features, wine_features, dish_features"
    );
    assert!(error(json!([]), json!([])).starts_with("featureTypes: expected an array of text_"));
    let wine = json!(["wine_features"]);
    assert_eq!(
        error(json!([{}, 5]), wine.clone()),
        "items[1]: expected an object, got a number"
    );
    assert_eq!(
        error(json!([{}, {"price": "cheap"}]), wine.clone()),
        "items[1].price: expected a number, got a string"
    );
    assert_eq!(
        error(json!([{"vintage": 15}]), wine),
        "items[0].vintage: expected a year from 1000 to 9999 or \"NV\", got 15"
    );
    let many: serde_json::Map<_, _> = (0..1001).map(|i| (format!("f{i}"), json!(1))).collect();
    assert!(error(json!([many]), json!(["numerical_features"])).contains("at most 1000 numerical"));
}

proptest! {
    /// A naive twin in two passes.
    #[test]
    fn z_scores_equal_the_textbook(values in prop::collection::vec(-1e6f64..1e6, 1..60)) {
        let items: Vec<Value> = values.iter().map(|v| json!({"v": v})).collect();
        let out = run(Value::Array(items), json!(["numerical_features"]), json!({})).unwrap();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        for (value, item) in values.iter().zip(&out.features) {
            let got = item.features["numerical"]["v_zScore"].as_f64().unwrap();
            let want = if deviation > 0.0 { (value - mean) / deviation } else { 0.0 };
            prop_assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
