//! The consumers of the queue: each message is a claim, which its consumer asks for, runs and
//! reports.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use sommos_core::{
    control::{Control, Stopped},
    jobs::{Claim, JobId},
    par::Par,
    service::work::{WorkFailure, WorkItem},
    wire::ApiError,
};
use worker::{Env, MessageBatch, MessageExt as _};

use crate::{
    call::{Call, Object},
    objects::jobs::Command,
};

/// Messages of one call to the queue, at most: the platform's limit.
const SEND_MAX: usize = 100;

/// A claim on its way to a consumer. A few hundred bytes: payloads stay in the object's storage
/// until the consumer asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    id: JobId,
    token: u64,
    /// The test's header.
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<String>,
}

impl Ticket {
    pub(crate) fn new(call: &Call, claim: &Claim) -> Self {
        Self {
            id: claim.id,
            token: claim.token,
            control: call.control.as_deref().map(str::to_owned),
        }
    }

    /// Puts tickets into the queue.
    pub(crate) async fn send(env: &Env, tickets: Vec<Self>) -> worker::Result<()> {
        let queue = env.queue("WORK")?;
        for some in tickets.chunks(SEND_MAX) {
            let texts = some.iter().map(serde_json::to_string);
            let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
            queue.send_batch(texts).await?;
        }
        Ok(())
    }
}

/// Runs a batch of messages, one after the other. What cannot be reported is delivered again.
pub(crate) async fn consume(batch: MessageBatch<String>, env: &Env) -> worker::Result<()> {
    for message in batch.messages()? {
        #[cfg(feature = "test-panic")]
        crate::panics::on_message(message.body(), env).await?;
        let ticket = serde_json::from_str::<Ticket>(message.body());
        let outcome = match ticket {
            Ok(ticket) => run(env, ticket).await,
            Err(error) => {
                // No delivery makes it better.
                worker::console_error!("a message is no claim: {error}");
                Ok(())
            }
        };
        match outcome {
            Ok(()) => message.ack(),
            Err(error) => {
                worker::console_error!("a claim was not run: {error}");
                message.retry();
            }
        }
    }
    Ok(())
}

async fn run(env: &Env, ticket: Ticket) -> Result<(), ApiError> {
    let Ticket { id, token, control } = ticket;
    let call = Call::new(env, control.as_deref())?;
    let start = Command::Start { id, token };
    let Some(frame) = call
        .ask::<&[u8], WorkItem>(Object::Jobs, &start, &[])
        .await?
    else {
        return Ok(());
    };
    let mut item = frame.head;
    item.payload = frame.blobs.into_iter().next().unwrap_or_default();
    let control = CpuControl::default();
    let outcome = perform(&item, &control, &call);
    let (failure, result) = match outcome {
        Ok(result) => (None, Some(result)),
        Err(error) => (Some(WorkFailure::from(error)), None),
    };
    let finish = Command::Finish {
        id,
        token,
        percent: control.percent(),
        failure,
    };
    let result: Vec<&[u8]> = result.iter().map(Vec::as_slice).collect();
    // Whether it counted is the object's to know: a stale report is none.
    call.ask::<&[u8], bool>(Object::Jobs, &finish, &result)
        .await?;
    Ok(())
}

fn perform(item: &WorkItem, control: &CpuControl, call: &Call) -> Result<Vec<u8>, ApiError> {
    #[cfg(feature = "processors")]
    if let Some(sommos_core::wire::batch::Processor::Source(source)) = &item.processor {
        return crate::processors::run(source, &item.payload, call.now);
    }
    item.run(Par::Seq, control, &call.settings.limits)
}

/// Stops work shortly before the platform would end the isolate, and knows how far it came.
#[derive(Debug, Default)]
pub(crate) struct CpuControl(AtomicU8);

impl CpuControl {
    fn percent(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Control for CpuControl {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
        self.0.store(percent.min(100) as u8, Ordering::Relaxed);
        if worker::signal::is_near_cpu_limit() {
            return Err(Stopped::Exhausted);
        }
        Ok(())
    }
}
