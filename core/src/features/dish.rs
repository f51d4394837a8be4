//! Features of a dish: from its own fields where it has them, else from words in its text.

use serde_json::{Map, Value};

use super::{
    FeatureError, Item,
    fields::{number, set},
};

type Words = [(&'static str, &'static [&'static str])];

const CUISINES: &Words = &[
    (
        "french",
        &[
            "french",
            "bourguignon",
            "coq au vin",
            "bouillabaisse",
            "ratatouille",
            "confit",
        ],
    ),
    (
        "italian",
        &[
            "italian",
            "pasta",
            "risotto",
            "carbonara",
            "lasagne",
            "osso buco",
            "pizza",
        ],
    ),
    (
        "spanish",
        &["spanish", "paella", "tapas", "gazpacho", "chorizo"],
    ),
    (
        "japanese",
        &["japanese", "sushi", "sashimi", "tempura", "ramen"],
    ),
    (
        "indian",
        &["indian", "masala", "tandoori", "biryani", "vindaloo"],
    ),
    (
        "mexican",
        &["mexican", "taco", "burrito", "mole", "ceviche"],
    ),
    ("american", &["american", "bbq", "burger", "steak"]),
    (
        "asian",
        &[
            "asian", "stir-fry", "stir fry", "curry", "thai", "wok", "dim sum",
        ],
    ),
];
const METHODS: &Words = &[
    ("grilled", &["grilled", "grill", "barbecue"]),
    ("roasted", &["roasted", "roast"]),
    ("fried", &["fried"]),
    ("steamed", &["steamed"]),
    ("braised", &["braised", "stew"]),
    ("poached", &["poached"]),
    ("smoked", &["smoked"]),
    ("raw", &["raw", "tartare", "carpaccio", "sashimi"]),
    ("baked", &["baked"]),
];
const PROTEINS: &Words = &[
    ("beef", &["beef", "steak", "veal"]),
    ("lamb", &["lamb", "mutton"]),
    ("pork", &["pork", "ham", "bacon"]),
    ("chicken", &["chicken", "turkey"]),
    ("duck", &["duck"]),
    (
        "seafood",
        &[
            "seafood", "lobster", "oyster", "oysters", "prawn", "prawns", "shrimp", "crab",
        ],
    ),
    ("fish", &["fish", "salmon", "tuna", "cod", "sea bass"]),
    ("vegetarian", &["vegetarian", "vegan", "tofu"]),
];
const INTENSITIES: &Words = &[
    ("light", &["light", "delicate", "subtle", "fresh"]),
    ("heavy", &["rich", "bold", "intense", "robust", "hearty"]),
];
/// 0 none, 1 mild, 2 medium, 3 hot; the strongest first.
const SPICES: &[(i64, &[&str])] = &[
    (3, &["very spicy", "fiery", "extra hot", "vindaloo"]),
    (
        2,
        &["spicy", "chili", "chilli", "jalapeño", "harissa", "hot"],
    ),
    (1, &["mild", "pepper", "curry", "ginger"]),
];

pub(super) fn features(item: &Item<'_>) -> Result<Map<String, Value>, FeatureError> {
    let mut map = Map::new();
    let ingredients = item.list(&["ingredients"])?;
    let mut text = String::new();
    for part in [item.text(&["name"])?, item.text(&["description"])?]
        .into_iter()
        .flatten()
    {
        text.push_str(part);
        text.push(' ');
    }
    text.push_str(
        &ingredients
            .iter()
            .flatten()
            .copied()
            .collect::<Vec<_>>()
            .join(" "),
    );
    let text = Padded::new(&text);
    set(
        &mut map,
        "ingredientCount",
        ingredients.map(|list| list.len()),
    );
    let mut named = |feature: &str, fields: &[&'static str], words: &Words| {
        let own = item.text(fields)?.map(str::to_lowercase);
        let found = own.or_else(|| text.first(words).map(str::to_owned));
        set(&mut map, feature, found);
        Ok::<_, FeatureError>(())
    };
    named("cuisine", &["cuisine"], CUISINES)?;
    named(
        "cookingMethod",
        &["cooking_method", "cookingMethod"],
        METHODS,
    )?;
    named("proteinType", &["protein", "proteinType"], PROTEINS)?;
    named("intensity", &["intensity"], INTENSITIES)?;
    map.insert("spiceLevel".into(), spice_level(item, &text)?);
    Ok(map)
}

fn spice_level(item: &Item<'_>, text: &Padded) -> Result<Value, FeatureError> {
    let names = ["spice_level", "spiceLevel"];
    let by_words = |text: &Padded| {
        let found = SPICES
            .iter()
            .find(|(_, words)| words.iter().any(|word| text.has(word)));
        Value::from(found.map_or(0, |(level, _)| *level))
    };
    match item.field(&names) {
        None => Ok(by_words(text)),
        Some((_, Value::String(own))) if own.trim().parse::<f64>().is_err() => {
            let own = Padded::new(own);
            Ok(if own.has("medium") {
                2.into()
            } else {
                by_words(&own)
            })
        }
        Some(_) => Ok(item.number(&names)?.map_or(Value::Null, number)),
    }
}

/// Lower-case words between single spaces, so that "ham" is not found in "champagne".
struct Padded(String);

impl Padded {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        let mut padded = String::with_capacity(lower.len() + 2);
        padded.push(' ');
        for word in words.filter(|word| !word.is_empty()) {
            padded.push_str(word);
            padded.push(' ');
        }
        Self(padded)
    }

    fn has(&self, words: &str) -> bool {
        self.0.contains(&format!(" {words} "))
    }

    fn first(&self, table: &Words) -> Option<&'static str> {
        table
            .iter()
            .find(|(_, words)| words.iter().any(|word| self.has(word)))
            .map(|(name, _)| *name)
    }
}
