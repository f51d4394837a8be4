//! Ratings to compare over.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use sommos_core::{id::Key, limits::Limits, rng::Rng, similarity::Ratings};

/// `entities` rows of `per_row` half-star ratings, of `items` items, uniform.
pub fn synthetic(entities: i64, per_row: usize, items: i64) -> Ratings {
    let mut rng = Rng::new(1);
    let rows: Vec<_> = (0..entities)
        .map(|entity| {
            let mut order: Vec<i64> = (0..items).collect();
            rng.shuffle(&mut order);
            let row: Vec<_> = order[..per_row]
                .iter()
                .map(|&item| (Key::Int(item), (1 + rng.below(10)) as f32 / 2.0))
                .collect();
            (Key::Int(entity), row)
        })
        .collect();
    // Within the limits by construction.
    Ratings::from_rows(rows, &Limits::default()).unwrap_or_default()
}

/// A file of ratings: user, item and rating in the columns that the header names so (`userId`,
/// `movieId`, `WineID`, `rating`, ..), else in the first three. Separated by `,`, `;`, tab or
/// `::`; with or without a header; plain or gzip.
pub fn load(path: &Path) -> anyhow::Result<Ratings> {
    let context = || format!("reading {}", path.display());
    let file = File::open(path).with_context(context)?;
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text)
    } else {
        (&file).read_to_string(&mut text)
    }
    .with_context(context)?;
    let first = text.lines().next().unwrap_or_default();
    let separator = [",", ";", "\t", "::"]
        .into_iter()
        .find(|s| first.split(s).count() >= 3)
        .with_context(|| format!("{}: no line of three columns", path.display()))?;
    let header: Vec<String> = first.split(separator).map(clean).collect();
    let has_header = header.iter().all(|name| name.parse::<f64>().is_err());
    let columns = if has_header { named(&header) } else { None }.unwrap_or([0, 1, 2]);
    let (mut users, mut items, mut ratings) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().skip(usize::from(has_header)) {
        let fields: Vec<String> = line.split(separator).map(clean).collect();
        let [Some(user), Some(item), Some(rating)] = columns.map(|c| fields.get(c)) else {
            bail!("{}, line {}: too few columns", path.display(), number + 1);
        };
        let key = |s: &str| s.parse().map_or_else(|_| Key::from(s), Key::Int);
        users.push(key(user));
        items.push(key(item));
        ratings.push(rating.parse().with_context(|| {
            format!("{}, line {}: rating {rating:?}", path.display(), number + 1)
        })?);
    }
    let limits = Limits {
        entities: 10_000_000,
        ratings: 100_000_000,
        ..Limits::default()
    };
    Ok(Ratings::from_triplets(&users, &items, &ratings, &limits)?)
}

fn clean(field: &str) -> String {
    field.trim().trim_matches('"').to_owned()
}

/// Columns by their names.
fn named(header: &[String]) -> Option<[usize; 3]> {
    let find = |words: &[&str]| {
        header.iter().position(|name| {
            let name = name.to_lowercase().replace('_', "");
            words.iter().any(|word| name == *word)
        })
    };
    Some([
        find(&["userid", "user", "uid"])?,
        find(&["itemid", "movieid", "wineid", "item", "bookid", "iid"])?,
        find(&["rating", "score", "stars"])?,
    ])
}
