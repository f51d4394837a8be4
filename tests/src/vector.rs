//! The format of a vector, and reading all of a folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One case: a fresh shell, and requests to it in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vector {
    /// `group/case`, from its path; a `name` in the file is for people.
    #[serde(skip)]
    pub id: String,
    /// A sentence for people.
    pub name: Option<String>,
    /// Limits that differ from the defaults, by their names in the configuration.
    #[serde(default)]
    pub limits: Map<String, Value>,
    /// Settings that differ from the defaults.
    #[serde(default)]
    pub config: Settings,
    /// Requests and what is expected.
    pub steps: Vec<Step>,
}

/// Settings that every shell has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Most cache entries.
    pub cache_max_size: Option<usize>,
    /// Milliseconds that a value lives when its set does not say.
    pub cache_default_ttl_ms: Option<u64>,
    /// Bytes that may be tracked by allocate.
    pub memory_limit_bytes: Option<u64>,
}

/// One request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Milliseconds that the clock moves before the request.
    #[serde(default)]
    pub advance_ms: u64,
    /// GET, POST, DELETE or another.
    pub method: String,
    /// Path and query, percent-encoded.
    pub path: String,
    /// `Content-Type`; `application/json` when there is a body and this is absent.
    #[serde(rename = "contentType")]
    pub content_type: Option<String>,
    /// `Accept`.
    pub accept: Option<String>,
    /// A JSON body. Null when absent: a body of `null` is written as `bodyText`.
    #[serde(default)]
    pub body: Value,
    /// A body as it is.
    #[serde(rename = "bodyText")]
    pub body_text: Option<String>,
    /// The bytes of a body.
    #[serde(rename = "bodyBase64")]
    pub body_base64: Option<String>,
    /// A large body.
    #[serde(rename = "bodyRepeat")]
    pub body_repeat: Option<Repeat>,
    /// The GET is repeated until these paths of its answer have these values.
    #[serde(default)]
    pub until: BTreeMap<String, Value>,
    /// For endless answers: reading ends after so many bytes.
    #[serde(rename = "readBytes")]
    pub read_bytes: Option<usize>,
    /// What every shell answers.
    pub expect: Expectation,
    /// What single shells answer instead, by their names; several share one with spaces between.
    #[serde(rename = "expectBy", default)]
    pub expect_by: BTreeMap<String, Expectation>,
    /// Names for values of the answer, by their paths.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// `before`, then `text` so many times, then `after`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Comes first.
    #[serde(default)]
    pub before: String,
    /// Is repeated.
    pub text: String,
    /// How often.
    pub count: usize,
    /// Comes last.
    #[serde(default)]
    pub after: String,
}

/// An expected answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// The HTTP status.
    pub status: u16,
    /// What `Content-Type` begins with.
    pub content_type: Option<String>,
    /// The JSON body, or a matcher. Absent: any.
    pub body: Option<Value>,
    /// The body as text: a string, or a matcher of one.
    pub body_text: Option<Value>,
    /// The bytes of the body.
    pub body_base64: Option<String>,
    /// The case ends here for this shell: what follows needs what it does not offer.
    #[serde(default)]
    pub stop: bool,
}

impl Step {
    /// What a shell answers in place of [`Self::expect`].
    #[must_use]
    pub fn expected_by(&self, shell: &str) -> Option<&Expectation> {
        let mut own = self.expect_by.iter();
        own.find(|(names, _)| names.split(' ').any(|name| name == shell))
            .map(|(_, expectation)| expectation)
    }

    /// The bytes of the body, placeholders of text and JSON not yet replaced; and whether there
    /// is one.
    ///
    /// # Errors
    /// When the Base64 is none.
    pub fn raw_body(&self) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(text) = &self.body_base64 {
            return Ok(Some(BASE64.decode(text).context("bodyBase64")?));
        }
        Ok(self.body_repeat.as_ref().map(|r| {
            let mut out = r.before.clone();
            out.push_str(&r.text.repeat(r.count));
            out.push_str(&r.after);
            out.into_bytes()
        }))
    }

    fn check(&self) -> anyhow::Result<()> {
        let bodies = [
            !self.body.is_null(),
            self.body_text.is_some(),
            self.body_base64.is_some(),
            self.body_repeat.is_some(),
        ];
        ensure!(
            bodies.iter().filter(|b| **b).count() <= 1,
            "a step has one body at most"
        );
        ensure!(
            self.until.is_empty() || self.method == "GET",
            "only a GET is repeated"
        );
        Ok(())
    }
}

/// Every `<group>/<case>.json` below a folder, in order.
///
/// # Errors
/// When a file cannot be read, is malformed, or there is none.
pub fn load_all(folder: &Path) -> anyhow::Result<Vec<Vector>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for group in entries(folder)? {
        if group.is_dir() {
            files.extend(entries(&group)?);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("no vectors below {}", folder.display());
    }
    files.iter().map(|file| load(folder, file)).collect()
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    read.map(|entry| Ok(entry?.path())).collect()
}

fn load(folder: &Path, file: &Path) -> anyhow::Result<Vector> {
    let named = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(named)?;
    let mut vector: Vector = serde_json::from_str(&text).with_context(named)?;
    ensure!(!vector.steps.is_empty(), "{}: no steps", named());
    for (index, step) in vector.steps.iter().enumerate() {
        step.check()
            .with_context(|| format!("{}: step {index}", named()))?;
    }
    let id = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    vector.id = id.to_string_lossy().replace('\\', "/");
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sommos_core::wire::routes::{self, ROUTES};

    use super::*;

    #[test]
    fn every_call_has_a_vector() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        let vectors = load_all(&folder).unwrap();
        let called: BTreeSet<&str> = vectors
            .iter()
            .flat_map(|vector| &vector.steps)
            .filter_map(|step| {
                let path = step.path.split('?').next()?;
                let found = routes::find(&step.method, path).ok()?;
                Some(found.route.info().summary)
            })
            .collect();
        for info in ROUTES {
            let (method, path) = (info.method, info.path);
            assert!(
                called.contains(info.summary),
                "no vector calls {method} {path}"
            );
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let step = r#"{"method": "GET", "path": "/", "expect": {"status": 200, "bdoy": 1}}"#;
        assert!(serde_json::from_str::<Step>(step).is_err());
    }
}
