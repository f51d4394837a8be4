//! The job queue: core's machine over the object's SQLite, and the queue that carries claims to
//! the consumers.

#![expect(missing_docs, reason = "`durable_object` writes methods without")]

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sommos_core::{
    batch::BatchOptions,
    jobs::{BatchId, Claim, JobId, JobSpec, Kind},
    service::{
        Request, Response,
        work::{BatchSubmission, Submission, Work, WorkFailure},
    },
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        batch::{self, Processor},
        jobs::WorkKind,
        routes,
    },
};
use worker::{Delay, DurableObject, Env, State, durable_object};

use super::{database::StoreError, entropy, framed, nothing, store::SqlStore};
use crate::{
    call::{Call, Object, refuse, respond},
    consumer::Ticket,
    frame::{self, Frame},
};

/// No bytes beside the head.
const NONE: &[&[u8]] = &[];
/// How long claims rest that the queue did not take.
const RESEND: Duration = Duration::from_secs(2);

/// What the queue's object is asked. Payloads, chunks and results travel beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A checked job or task; beside it its payload.
    Submit(JobSpec),
    /// A checked batch; beside it its chunks, whose records are counted in `items`.
    Process {
        total: usize,
        processor: Processor,
        options: BatchOptions,
        items: Vec<u32>,
    },
    /// A batch whose chunks follow.
    Open {
        processor: Processor,
        options: BatchOptions,
    },
    /// Chunks of an open batch, with the number of their records; beside it they themselves.
    Append { batch: BatchId, items: Vec<u32> },
    /// An open batch has all its chunks: `total` records in `chunks` chunks.
    Seal {
        batch: BatchId,
        total: usize,
        chunks: usize,
    },
    /// An open batch whose chunks broke off.
    Abandon(BatchId),
    /// A call of the API that carries no work.
    Call {
        method: String,
        path: String,
        query: String,
        accept: String,
    },
    /// A consumer has this claim.
    Start { id: JobId, token: u64 },
    /// A consumer's report: how far it came, and why it has no result; beside it its result.
    Finish {
        id: JobId,
        token: u64,
        percent: u8,
        failure: Option<WorkFailure>,
    },
    /// Claims that no consumer got to hear of.
    Unclaim(Vec<(JobId, u64)>),
    /// Nothing: look at the clock.
    Tick,
}

/// The job queue's object.
#[durable_object(alarm)]
pub struct JobQueue {
    state: State,
    env: Env,
    machine: RefCell<Option<Work<SqlStore>>>,
    /// When the alarm is set for.
    alarm: Cell<Option<Timestamp>>,
}

/// The outcome of a command, and the claims that have to go out.
struct Done {
    response: Response,
    claims: Vec<Claim>,
    deadline: Option<Timestamp>,
}

impl DurableObject for JobQueue {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            machine: RefCell::new(None),
            alarm: Cell::new(None),
        }
    }

    async fn fetch(&self, mut request: worker::Request) -> worker::Result<worker::Response> {
        #[cfg(feature = "test-panic")]
        if let Some(answer) = crate::panics::in_object(&self.state, &request).await {
            return answer;
        }
        let body = request.bytes().await?;
        let response = match self.command(&body).await {
            Ok(response) => response,
            Err(error) => refuse(&error),
        };
        respond(response)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        #[cfg(feature = "test-panic")]
        crate::panics::in_alarm(&self.state)?;
        self.alarm.set(None);
        let outcome = match Call::new(&self.env, None) {
            Ok(call) => self.run(&call, Command::Tick, Vec::new()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            worker::console_error!("the queue's alarm: {error}");
        }
        worker::Response::empty()
    }
}

impl JobQueue {
    async fn command(&self, body: &[u8]) -> Result<Response, ApiError> {
        let frame: Frame<(Option<String>, Command)> = frame::decode(body)?;
        let (control, command) = frame.head;
        let call = Call::new(&self.env, control.as_deref())?;
        self.run(&call, command, frame.blobs).await
    }

    async fn run(
        &self,
        call: &Call,
        command: Command,
        blobs: Vec<Vec<u8>>,
    ) -> Result<Response, ApiError> {
        let mut machine = self.machine.take();
        let outcome = step(&self.state, &mut machine, call, command, blobs);
        // One that failed to write is ahead of its storage: the next call restores it.
        if outcome.is_ok() {
            self.machine.replace(machine);
        }
        let Done {
            response,
            claims,
            deadline,
        } = outcome?;
        if !call.by_hand() {
            self.set_alarm(call.now, deadline).await?;
        }
        self.hand_out(call, claims);
        Ok(response)
    }

    /// Sets the alarm for the next deadline, if it is not set for one as early.
    async fn set_alarm(&self, now: Timestamp, deadline: Option<Timestamp>) -> Result<(), ApiError> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        if self
            .alarm
            .get()
            .is_some_and(|set| set <= deadline && set > now)
        {
            return Ok(());
        }
        self.alarm.set(Some(deadline));
        let wait = i64::try_from(deadline.ms_since(now)).unwrap_or(i64::MAX);
        self.state
            .storage()
            .set_alarm(wait)
            .await
            .map_err(|error| crate::call::unavailable("the queue's alarm", error))
    }

    /// Sends claims to the consumers. Those that the queue does not take go back in line.
    fn hand_out(&self, call: &Call, claims: Vec<Claim>) {
        if claims.is_empty() {
            return;
        }
        let tickets = claims
            .iter()
            .map(|claim| Ticket::new(call, claim))
            .collect();
        let call = call.clone();
        let ids = claims.iter().map(|claim| (claim.id, claim.token)).collect();
        self.state.wait_until(async move {
            let Err(error) = Ticket::send(&call.env, tickets).await else {
                return;
            };
            worker::console_error!("claims were not sent: {error}");
            // The queue may be away for long: they must not be claimed again at once, over and over.
            Delay::from(RESEND).await;
            let unclaim = Command::Unclaim(ids);
            if let Err(error) = call.ask::<&[u8], ()>(Object::Jobs, &unclaim, NONE).await {
                // Their leases end, and the alarm puts them back in line.
                worker::console_error!("claims were not given back: {error}");
            }
        });
    }
}

/// One command: restore if need be, let time pass, do it, write it, claim for free workers.
fn step(
    state: &State,
    machine: &mut Option<Work<SqlStore>>,
    call: &Call,
    command: Command,
    blobs: Vec<Vec<u8>>,
) -> Result<Done, ApiError> {
    let now = call.now;
    let work = match machine {
        Some(work) => work,
        none => none.insert(restore(state, call).map_err(|error| {
            let message = format!("the queue's storage cannot be read: {error}");
            ApiError::new(ErrorCode::Unavailable, message)
        })?),
    };
    work.tick(now);
    let answer = execute(work, call, command, blobs);
    work.commit()?;
    let claims = work.claim(now);
    work.commit()?;
    Ok(Done {
        response: answer.unwrap_or_else(|error| refuse(&error)),
        claims,
        deadline: work.next_deadline(),
    })
}

fn restore(state: &State, call: &Call) -> Result<Work<SqlStore>, StoreError> {
    let store = SqlStore::open(state.storage())?;
    let saved = store.load()?;
    let config = call.settings.work_config();
    Ok(Work::restore(config, call.now, saved, store))
}

fn execute(
    work: &mut Work<SqlStore>,
    call: &Call,
    command: Command,
    blobs: Vec<Vec<u8>>,
) -> Result<Response, ApiError> {
    let now = call.now;
    let mut blobs = blobs.into_iter();
    match command {
        Command::Submit(spec) => {
            let submission = Submission {
                kind: match spec.kind {
                    Kind::Task => WorkKind::Task,
                    Kind::Job | Kind::Chunk => WorkKind::Job,
                },
                spec,
                payload: blobs.next().unwrap_or_default(),
            };
            work.submit(now, entropy()?, submission)
        }
        Command::Process {
            total,
            processor,
            options,
            items,
        } => {
            let submission = BatchSubmission {
                chunks: blobs.zip(items).collect(),
                total,
                processor,
                options,
            };
            work.process(now, entropy()?, submission)
        }
        Command::Open { processor, options } => {
            let id = work.open_batch(now, entropy()?, &processor, options)?;
            framed(&id, NONE)
        }
        Command::Append { batch, items } => {
            for (chunk, items) in blobs.zip(items) {
                work.append(now, batch, chunk, u64::from(items))?;
            }
            Ok(nothing())
        }
        Command::Seal {
            batch,
            total,
            chunks,
        } => {
            work.seal(now, batch)?;
            batch::encode_submit_answer(batch, total, chunks).map(Response::json)
        }
        Command::Abandon(batch) => work.abandon(now, batch).map(|()| nothing()),
        Command::Call {
            method,
            path,
            query,
            accept,
        } => {
            let found = routes::find(&method, &path)?;
            let request = Request {
                method: &method,
                path: &path,
                query: &query,
                accept: &accept,
                ..Request::default()
            };
            work.call(now, found.route, found.param, &request)
        }
        Command::Start { id, token } => match work.start(now, id, token)? {
            Some(item) => framed(&item, &[&item.payload]),
            None => Ok(nothing()),
        },
        Command::Finish {
            id,
            token,
            percent,
            failure,
        } => {
            let outcome = match failure {
                Some(failure) => Err(failure),
                None => Ok(blobs.next().unwrap_or_default()),
            };
            let counted = work.finish(now, id, token, percent, outcome);
            framed(&counted, NONE)
        }
        Command::Unclaim(claims) => {
            for (id, token) in claims {
                work.unclaim(now, id, token);
            }
            Ok(nothing())
        }
        Command::Tick => Ok(nothing()),
    }
}
