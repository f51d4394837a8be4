//! Sends a vector's steps to a shell and compares the answers.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use crate::{
    matcher::{differences, show},
    template::{Saved, at_path, fill, fill_text},
    vector::{Expectation, Step, Vector},
};

/// The clock of every shell begins here, Unix milliseconds.
pub const START_MS: u64 = 1_700_000_000_000;
/// Longest wait for an `until`.
const UNTIL: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(3);

/// A request, its placeholders replaced.
#[derive(Debug, Clone)]
pub struct Send {
    /// GET, POST, ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Content-Type`; empty: none.
    pub content_type: String,
    /// `Accept`; empty: none.
    pub accept: String,
    /// The body.
    pub body: Vec<u8>,
    /// Reading the answer ends after so many bytes.
    pub read_bytes: Option<usize>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What vectors are replayed against: one instance of the API, fresh for each case.
pub trait Shell {
    /// Its name in `expectBy`.
    fn name(&self) -> &'static str;

    /// The shell whose answers it gives where the vector names none of its own.
    fn stands_for(&self) -> &'static str {
        self.name()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the shell broke: an error answer is no error.
    fn send(&mut self, request: &Send) -> anyhow::Result<Reply>;

    /// Moves its clock, and lets it do what is then due.
    ///
    /// # Errors
    /// When the shell broke.
    fn advance(&mut self, ms: u64) -> anyhow::Result<()>;
}

/// Replays a vector.
///
/// # Errors
/// The step and what was wrong with its answer.
pub fn replay(vector: &Vector, shell: &mut dyn Shell) -> anyhow::Result<()> {
    let mut saved = Saved::new();
    for (index, step) in vector.steps.iter().enumerate() {
        let stop = take(step, shell, &mut saved)
            .with_context(|| format!("step {index}: {} {}", step.method, step.path))?;
        if stop {
            break;
        }
    }
    Ok(())
}

/// One step; whether the case ends with it.
fn take(step: &Step, shell: &mut dyn Shell, saved: &mut Saved) -> anyhow::Result<bool> {
    if step.advance_ms > 0 {
        shell.advance(step.advance_ms)?;
    }
    let request = request_of(step, saved)?;
    let own = step
        .expected_by(shell.name())
        .or_else(|| step.expected_by(shell.stands_for()));
    let expected = own.unwrap_or(&step.expect);
    let mut reply = shell.send(&request)?;
    if own.is_none() && !step.until.is_empty() {
        let deadline = Instant::now() + UNTIL;
        while !holds(step, &reply, saved)? {
            if Instant::now() >= deadline {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let (wanted, last) = (&step.until, show(&Value::String(text)));
                anyhow::bail!("still not {wanted:?}; the last answer was {last}");
            }
            std::thread::sleep(LOOK);
            reply = shell.send(&request)?;
        }
    }
    check(expected, &reply, saved)?;
    if expected.stop {
        return Ok(true);
    }
    if !step.save.is_empty() {
        let body = json_of(&reply)?;
        for (name, path) in &step.save {
            saved.insert(name.clone(), at_path(&body, path)?.clone());
        }
    }
    Ok(false)
}

fn request_of(step: &Step, saved: &Saved) -> anyhow::Result<Send> {
    let body = match (step.raw_body()?, &step.body_text) {
        (Some(bytes), _) => Some(bytes),
        (None, Some(text)) => Some(fill_text(text, saved)?.into_bytes()),
        (None, None) if step.body.is_null() => None,
        (None, None) => Some(serde_json::to_vec(&fill(&step.body, saved)?)?),
    };
    let content_type = match (&step.content_type, &body) {
        (Some(given), _) => given.as_str(),
        (None, Some(_)) => "application/json",
        (None, None) => "",
    };
    Ok(Send {
        method: step.method.clone(),
        path: fill_text(&step.path, saved)?,
        content_type: content_type.to_owned(),
        accept: step.accept.clone().unwrap_or_default(),
        body: body.unwrap_or_default(),
        read_bytes: step.read_bytes,
    })
}

fn holds(step: &Step, reply: &Reply, saved: &Saved) -> anyhow::Result<bool> {
    let Ok(body) = json_of(reply) else {
        return Ok(false);
    };
    for (path, wanted) in &step.until {
        let wanted = fill(wanted, saved)?;
        let there = at_path(&body, path).is_ok_and(|got| differences(&wanted, got).is_empty());
        if !there {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check(expected: &Expectation, reply: &Reply, saved: &Saved) -> anyhow::Result<()> {
    if expected.status != reply.status {
        // The rest would only repeat that it is another answer.
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let (wanted, got) = (expected.status, reply.status);
        let body = show(&Value::String(text));
        anyhow::bail!("status: expected {wanted}, got {got} with the body {body}");
    }
    let mut wrong = Vec::new();
    if let Some(wanted) = &expected.content_type
        && !reply.content_type.starts_with(wanted.as_str())
    {
        wrong.push(format!(
            "content type: expected {wanted}, got {}",
            reply.content_type
        ));
    }
    if let Some(body) = &expected.body {
        match json_of(reply) {
            Ok(got) => wrong.extend(differences(&fill(body, saved)?, &got)),
            Err(error) => wrong.push(format!("body: {error:#}")),
        }
    }
    if let Some(text) = &expected.body_text {
        let got = Value::String(String::from_utf8_lossy(&reply.body).into_owned());
        wrong.extend(differences(&fill(text, saved)?, &got));
    }
    if let Some(text) = &expected.body_base64
        && BASE64.decode(text).context("bodyBase64")? != reply.body
    {
        wrong.push(format!(
            "body: expected {text}, got {}",
            BASE64.encode(&reply.body)
        ));
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn json_of(reply: &Reply) -> anyhow::Result<Value> {
    serde_json::from_slice(&reply.body).with_context(|| {
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        format!("the answer is no JSON: {}", show(&Value::String(text)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Counts its requests, and answers with what it was asked.
    struct Echo(u64);

    impl Shell for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }

        fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
            self.0 += 1;
            let text = String::from_utf8_lossy(&request.body);
            let body = json!({"n": self.0, "path": request.path, "body": text});
            Ok(Reply {
                status: 200,
                content_type: "application/json".into(),
                body: serde_json::to_vec(&body)?,
            })
        }

        fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
            self.0 += ms;
            Ok(())
        }
    }

    fn run(steps: Value) -> anyhow::Result<()> {
        let vector: Vector = serde_json::from_value(json!({"steps": steps}))?;
        replay(&vector, &mut Echo(0))
    }

    #[test]
    fn saved_values_reach_later_requests_and_expectations() {
        let first = json!({"method": "GET", "path": "/a", "save": {"n": "n"},
            "expect": {"status": 200, "body": {"n": 1, "path": "/a", "body": ""}}});
        let second = json!({"method": "POST", "path": "/{{n}}", "body": {"x": "{{n}}"},
            "expect": {"status": 200, "body": {"n": 2, "path": "/1", "body": "{\"x\":1}"}}});
        run(json!([first, second])).unwrap();
    }

    #[test]
    fn a_get_is_repeated_until_its_answer_holds() {
        let step = json!({"method": "GET", "path": "/", "until": {"n": 5}, "advance_ms": 2,
            "expect": {"status": 200, "body": {"$partial": {"n": 5}}}});
        run(json!([step])).unwrap();
    }

    #[test]
    fn a_shell_has_expectations_of_its_own_and_may_stop() {
        let step = json!({"method": "GET", "path": "/", "expect": {"status": 404},
            "expectBy": {"other echo": {"status": 200, "stop": true}}});
        let never = json!({"method": "GET", "path": "/{{nothing}}", "expect": {"status": 200}});
        run(json!([step, never])).unwrap();
        assert!(run(json!([never])).is_err());
    }

    #[test]
    fn a_failure_names_its_step_and_what_differs() {
        let good = json!({"method": "GET", "path": "/", "expect": {"status": 200}});
        let wrong = json!({"method": "GET", "path": "/x", "expect": {"status": 201}});
        let text = format!("{:#}", run(json!([good, wrong])).unwrap_err());
        assert!(
            text.starts_with("step 1: GET /x: status: expected 201, got 200"),
            "{text}"
        );
        let wrong = json!({"method": "GET", "path": "/", "expect":
            {"status": 200, "body": {"$partial": {"n": 2}}}});
        let text = format!("{:#}", run(json!([wrong])).unwrap_err());
        assert!(text.ends_with("$.n: expected 2, got 1"), "{text}");
    }
}
