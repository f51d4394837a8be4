//! Jobs of promises, run one by one.

use std::{cell::RefCell, collections::VecDeque, pin::pin, rc::Rc, task::Waker};

use boa_engine::{
    Context, JsResult,
    job::{Job, JobExecutor},
};

/// What waits to be run.
#[derive(Default)]
pub(crate) struct Jobs(RefCell<VecDeque<Job>>);

impl JobExecutor for Jobs {
    fn enqueue_job(self: Rc<Self>, job: Job, _context: &mut Context) {
        self.0.borrow_mut().push_back(job);
    }

    fn run_jobs(self: Rc<Self>, _context: &mut Context) -> JsResult<()> {
        Ok(())
    }
}

impl Jobs {
    /// Runs the next; false where none is left.
    pub(crate) fn run_next(&self, context: &mut Context) -> JsResult<bool> {
        let Some(job) = self.0.borrow_mut().pop_front() else {
            return Ok(false);
        };
        match job {
            Job::PromiseJob(job) => job.call(context).map(drop)?,
            Job::GenericJob(job) => job.call(context).map(drop)?,
            Job::AsyncJob(job) => {
                let cell = RefCell::new(context);
                let mut task = std::task::Context::from_waker(Waker::noop());
                // One that waits for the host waits for ever: nothing here wakes it.
                if let std::task::Poll::Ready(result) = pin!(job.call(&cell)).poll(&mut task) {
                    result?;
                }
            }
            // Timers: nothing in the context makes them.
            _ => {}
        }
        Ok(true)
    }
}
