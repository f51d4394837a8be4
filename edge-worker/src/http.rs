//! Requests: finds the route in core's list, checks who asks, asks whoever answers.

use sommos_core::{
    service::{
        Request, Response,
        work::{BatchSubmission, Submission, javascript_not_offered},
    },
    wire::{
        ApiError, ErrorCode,
        access::Origins,
        batch::Processor,
        jobs::WorkKind,
        routes::{self, Part, Route, Scope},
    },
};
use worker::{Context, Env, Headers};

use crate::{
    NOT_OFFERED, batches, body, cache,
    call::{Call, Object, TEST_HEADER, refuse, respond},
    monitoring,
    objects::jobs::Command,
};

/// Whether this build runs a processor's JavaScript.
pub(crate) const JAVASCRIPT: bool = cfg!(feature = "processors");
const NDJSON: &str = "application/x-ndjson";

/// A request as the handlers see it.
pub(crate) struct Asked<'a> {
    pub(crate) call: &'a Call,
    pub(crate) context: &'a Context,
    pub(crate) route: Route,
    pub(crate) param: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) request: worker::Request,
}

/// What a handler answers: core's answer, or one of the platform's that is handed on.
pub(crate) enum Answer {
    Core(Response),
    Sent(worker::Response),
}

/// Answers one request; an error of ours becomes its JSON.
pub(crate) async fn respond_to(
    mut request: worker::Request,
    env: &Env,
    context: &Context,
) -> worker::Result<worker::Response> {
    let header = |name| request.headers().get(name).ok().flatten();
    let control = header(TEST_HEADER);
    let call = match Call::new(env, control.as_deref()) {
        Ok(call) => call,
        Err(error) => {
            body::discard(&mut request).await;
            return respond(refuse(&error));
        }
    };
    let origin = header("origin").filter(|origin| call.settings.origins.allows(origin));
    // `request.method()` takes every method that it does not know for GET.
    let method = request.inner().method();
    if method == "OPTIONS" {
        return preflight(origin.as_deref());
    }
    let url = request.inner().url();
    let (path, query) = split(&url);
    let found = routes::find(&method, path);
    let route = found.as_ref().ok().map(|m| m.route);
    let answer = match found {
        Err(error) => {
            body::discard(&mut request).await;
            Err(error)
        }
        Ok(found) => {
            let (content_type, accept) = (header("content-type"), header("accept"));
            let mut asked = Asked {
                call: &call,
                context,
                route: found.route,
                param: found.param,
                method: &method,
                path,
                query,
                content_type: content_type.as_deref().unwrap_or_default(),
                accept: accept.as_deref().unwrap_or_default(),
                request,
            };
            let answer = answer(&mut asked).await;
            if answer.is_err() {
                body::discard(&mut asked.request).await;
            }
            answer
        }
    };
    let (mut response, bytes) = match answer {
        Ok(Answer::Core(response)) => respond_bytes(response)?,
        Ok(Answer::Sent(response)) => {
            let length = response.headers().get("content-length")?;
            let bytes = length.and_then(|l| l.parse().ok()).unwrap_or(0);
            (response, bytes)
        }
        Err(error) => {
            let (response, bytes) = respond_bytes(refuse(&error))?;
            headers_of(&error, response.headers())?;
            (response, bytes)
        }
    };
    monitoring::count(&call, context, route, response.status_code(), bytes);
    if let Some(origin) = origin {
        let headers = Headers::new();
        for (name, value) in response.headers().entries() {
            headers.append(&name, &value)?;
        }
        mark(&headers, &origin)?;
        response = response.with_headers(headers);
    }
    Ok(response)
}

/// Path and query of a URL as the platform writes it: absolute, without a fragment.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let from = rest.find('/').unwrap_or(rest.len());
    let rest = &rest[from..];
    rest.split_once('?').unwrap_or((rest, ""))
}

fn respond_bytes(response: Response) -> worker::Result<(worker::Response, u64)> {
    let bytes = response.body.len() as u64;
    Ok((respond(response)?, bytes))
}

fn headers_of(error: &ApiError, headers: &Headers) -> worker::Result<()> {
    match error.code.status() {
        401 => headers.set("www-authenticate", "Bearer"),
        429 | 503 => headers.set("retry-after", "1"),
        _ => Ok(()),
    }
}

fn preflight(origin: Option<&str>) -> worker::Result<worker::Response> {
    let response = worker::Response::builder().with_status(204).empty();
    let headers = response.headers();
    headers.set("allow", Origins::ALLOW)?;
    if let Some(origin) = origin {
        for (name, value) in Origins::PREFLIGHT {
            headers.set(name, value)?;
        }
        mark(headers, origin)?;
    }
    Ok(response)
}

/// Allows the origin to read an answer.
fn mark(headers: &Headers, origin: &str) -> worker::Result<()> {
    headers.set("access-control-allow-origin", origin)?;
    headers.append("vary", "origin")?;
    headers.set("access-control-expose-headers", Origins::EXPOSED)
}

async fn answer(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    check(asked).await?;
    let (call, route, param) = (asked.call, asked.route, asked.param);
    if NOT_OFFERED.contains(&route) {
        return Err(not_offered(route));
    }
    match route.part() {
        Part::Cache => cache::answer(asked).await,
        Part::Work if route == Route::BatchResults && asked.accept.contains(NDJSON) => {
            batches::results(call, param).await
        }
        Part::Work => ask_jobs(call, &asked.command()).await,
        Part::Monitoring => monitoring::ask(asked).await,
        Part::Compression => {
            let body = body::read(asked).await?;
            let request = asked.core(&body);
            sommos_core::service::memory::call(route, &request, &call.settings.limits)
                .map(Answer::Core)
        }
        _ => match route {
            Route::HealthLive => Ok(json(br#"{"status":"live"}"#)),
            Route::HealthReady => Ok(json(br#"{"status":"ready"}"#)),
            Route::JobSubmit => submit(WorkKind::Job, asked).await,
            Route::TaskSubmit => submit(WorkKind::Task, asked).await,
            Route::BatchProcess if asked.content_type.starts_with(NDJSON) => {
                batches::process_lines(asked).await
            }
            Route::BatchProcess => process(asked).await,
            other => Err(not_offered(other)),
        },
    }
}

/// Who asks, from which page, and how often.
async fn check(asked: &Asked<'_>) -> Result<(), ApiError> {
    let settings = &asked.call.settings;
    let header = |name| asked.request.headers().get(name).ok().flatten();
    let (origin, host) = (header("origin"), header("host"));
    settings
        .origins
        .check(asked.method, origin.as_deref(), host.as_deref())?;
    let scope = asked.route.info().scope;
    let authorization = header("authorization");
    let given = authorization.as_deref().map(str::as_bytes);
    settings.tokens.check(given, scope)?;
    let Ok(limiter) = asked.call.env.rate_limiter("RATE_LIMIT") else {
        return Ok(());
    };
    if scope == Scope::Public {
        return Ok(());
    }
    let address = header("cf-connecting-ip").unwrap_or_default();
    match limiter.limit(address).await {
        Ok(outcome) if !outcome.success => Err(ApiError::new(
            ErrorCode::RateLimited,
            "too many requests from this address; try again later",
        )),
        // A limiter that is down must not take the API with it.
        _ => Ok(()),
    }
}

impl Asked<'_> {
    /// The request as core reads it.
    pub(crate) fn core<'b>(&'b self, body: &'b [u8]) -> Request<'b> {
        Request {
            method: self.method,
            path: self.path,
            query: self.query,
            content_type: self.content_type,
            accept: self.accept,
            body,
        }
    }

    fn command(&self) -> Command {
        Command::Call {
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            query: self.query.to_owned(),
            accept: self.accept.to_owned(),
        }
    }
}

pub(crate) fn json(body: &[u8]) -> Answer {
    Answer::Core(Response::json(body.to_vec()))
}

async fn ask_jobs(call: &Call, command: &Command) -> Result<Answer, ApiError> {
    let none: [&[u8]; 0] = [];
    call.send(Object::Jobs, command, &none)
        .await
        .map(Answer::Sent)
}

/// Takes a job or task: decoded and checked here, so that the object only has to store it.
async fn submit(kind: WorkKind, asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let call = asked.call;
    let settings = &call.settings;
    let request = asked.core(&body);
    let Submission { spec, payload, .. } =
        Submission::decode(kind, &request, &settings.defaults, &settings.limits)?;
    let most = settings.work.task_cost_max;
    if spec.cost > most {
        let message = format!(
            "this {} needs about {} multiply-adds, and {most} fit into the processor time of one \
             call here: send less at once, or send it to a server of your own",
            spec.job_type, spec.cost
        );
        return Err(ApiError::new(ErrorCode::CpuLimit, message));
    }
    drop(body);
    call.send(Object::Jobs, &Command::Submit(spec), &[payload])
        .await
        .map(Answer::Sent)
}

async fn process(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let call = asked.call;
    let settings = &call.settings;
    let request = asked.core(&body);
    let BatchSubmission {
        chunks,
        total,
        processor,
        options,
    } = BatchSubmission::decode(&request, &settings.defaults, &settings.limits, JAVASCRIPT)?;
    drop(body);
    let (chunks, items) = chunks.into_iter().unzip::<Vec<u8>, u32, Vec<_>, Vec<_>>();
    let command = Command::Process {
        total,
        processor,
        options,
        items,
    };
    call.send(Object::Jobs, &command, &chunks)
        .await
        .map(Answer::Sent)
}

/// 501 where this build cannot run the processor.
pub(crate) fn runs(processor: &Processor) -> Result<(), ApiError> {
    match processor {
        Processor::Source(_) if !JAVASCRIPT => Err(javascript_not_offered()),
        _ => Ok(()),
    }
}

fn not_offered(route: Route) -> ApiError {
    let why = match route {
        Route::TestLoad => {
            "a worker cannot load itself: start the load from outside, with the server's load test"
        }
        Route::TestMemory => "a worker cannot look at its process: the server offers it",
        Route::Events => "a worker keeps no connection open; ask for the job, batch or alerts",
        _ => "the server offers it",
    };
    let message = format!("{} is not offered by this shell: {why}", route.info().path);
    ApiError::new(ErrorCode::NotImplemented, message)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_url_is_cut_into_path_and_query() {
        assert_eq!(split("https://a.example:80/b/c?d=/e?f"), ("/b/c", "d=/e?f"));
        assert_eq!(split("http://a/"), ("/", ""));
        assert_eq!(split("http://a"), ("", ""));
    }
}
