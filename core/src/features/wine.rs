//! Features of a wine.

use serde_json::{Map, Value};

use super::{
    FeatureError, Item,
    fields::{number, set},
};

/// Name, text that means it (lower case), code.
const TYPES: [(&str, &[&str], i64); 6] = [
    ("Red", &["red", "rouge", "rosso", "tinto"], 1),
    // Before White: "rosé" and "rose" hold neither word.
    ("Rosé", &["rosé", "rose", "rosado", "rosato"], 3),
    (
        "Sparkling",
        &["sparkling", "champagne", "spumante", "cava", "prosecco"],
        4,
    ),
    ("Dessert", &["dessert", "sweet"], 5),
    ("Fortified", &["fortified", "port", "sherry", "madeira"], 6),
    ("White", &["white", "blanc", "bianco", "blanco"], 2),
];

pub(super) fn features(
    item: &Item<'_>,
    reference_year: Option<i32>,
) -> Result<Map<String, Value>, FeatureError> {
    let mut map = Map::new();
    wine_type(
        &mut map,
        item.text(&["wine_type", "wineType", "type", "Type"])?,
    );
    if let Some(year) = vintage(item)? {
        map.insert("vintage".into(), year.into());
        set(
            &mut map,
            "vintageAge",
            reference_year.map(|reference| i64::from(reference) - year),
        );
    }
    if let Some(grapes) = item.list(&["grape_varieties", "grapeVarieties", "grapes", "Grapes"])? {
        map.insert("grapeVarietyCount".into(), grapes.len().into());
        set(&mut map, "dominantGrape", grapes.first().copied());
    }
    let alcohol = ["alcohol_content", "alcoholContent", "abv", "ABV"];
    if let Some(percent) = item.number(&alcohol)?.filter(|percent| *percent > 0.0) {
        map.insert("alcoholLevel".into(), number(percent));
        map.insert("alcoholCategory".into(), alcohol_category(percent).into());
    }
    let level = |names: &[&'static str], words: &[(&str, i64)]| level(item, names, words);
    // The most specific words first: "full" is part of "very full".
    let body = [
        ("very light", 1),
        ("very full", 5),
        ("light", 2),
        ("full", 4),
        ("medium", 3),
    ];
    set(&mut map, "body", level(&["body", "Body"], &body)?);
    let acidity = [("low", 1), ("medium", 2), ("high", 3)];
    set(
        &mut map,
        "acidity",
        level(&["acidity", "Acidity"], &acidity)?,
    );
    if let Some(price) = item
        .number(&["price", "Price"])?
        .filter(|price| *price > 0.0)
    {
        map.insert("price".into(), number(price));
        map.insert("priceTier".into(), price_tier(price).into());
    }
    set(
        &mut map,
        "region",
        item.text(&["region", "Region", "RegionName"])?,
    );
    set(&mut map, "country", item.text(&["country", "Country"])?);
    Ok(map)
}

/// The code (0: unknown) and one column a type.
fn wine_type(map: &mut Map<String, Value>, text: Option<&str>) {
    let lower = text.unwrap_or_default().to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).collect();
    let found = TYPES
        .iter()
        .find(|(_, known, _)| words.iter().any(|word| known.contains(word)));
    map.insert(
        "wineType".into(),
        found.map_or(0, |(_, _, code)| *code).into(),
    );
    let column = |(name, _, code): &(&str, &[&str], i64)| {
        let on = found.is_some_and(|(_, _, found)| found == code);
        ((*name).to_owned(), Value::from(i64::from(on)))
    };
    map.insert(
        "type".into(),
        Value::Object(TYPES.iter().map(column).collect()),
    );
}

/// The year; none for a wine without vintage ("NV", "N.V.").
fn vintage(item: &Item<'_>) -> Result<Option<i64>, FeatureError> {
    let names = ["vintage", "Vintage", "year", "Year"];
    let without_year = |text: &str| {
        let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
        letters.eq_ignore_ascii_case("nv")
    };
    match item.field(&names) {
        Some((_, Value::String(text))) if without_year(text) => Ok(None),
        found => match (item.number(&names)?, found) {
            (None, _) => Ok(None),
            (Some(year), _) if year.fract() == 0.0 && (1000.0..=9999.0).contains(&year) => {
                Ok(Some(year as i64))
            }
            (Some(year), found) => {
                let name = found.map_or("vintage", |(name, _)| name);
                let message = format!("expected a year from 1000 to 9999 or \"NV\", got {year}");
                Err(FeatureError::new(
                    format!("items[{}].{name}", item.index),
                    message,
                ))
            }
        },
    }
}

fn alcohol_category(percent: f64) -> &'static str {
    match percent {
        p if p < 12.0 => "low",
        p if p > 15.0 => "high",
        _ => "medium",
    }
}

fn price_tier(price: f64) -> &'static str {
    match price {
        p if p < 25.0 => "budget",
        p if p < 75.0 => "mid",
        p if p < 200.0 => "premium",
        _ => "luxury",
    }
}

/// A number as it is, or a text's place on a scale; a text outside the scale is unknown.
fn level(
    item: &Item<'_>,
    names: &[&'static str],
    words: &[(&str, i64)],
) -> Result<Option<Value>, FeatureError> {
    match item.field(names) {
        Some((_, Value::String(text))) => {
            let lower = text.to_lowercase();
            let found = words.iter().find(|(word, _)| lower.contains(word));
            Ok(found.map(|(_, level)| Value::from(*level)))
        }
        _ => Ok(item.number(names)?.map(number)),
    }
}
