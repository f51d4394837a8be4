//! In-process handlers of events: other parts of the server, or a program that embeds it, hear of
//! jobs, batches and alerts by priority.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use sommos_core::{
    events::{EventsError, HandlerId, Handlers},
    metrics::ErrorOrigin,
};
use tokio::sync::broadcast::error::RecvError;

use crate::{app::App, queue::Event};

/// Called with each event of its type, from one task, one after the other: it must not block.
pub type Handler = Arc<dyn Fn(&App, &Event) + Send + Sync>;

/// The registered handlers.
#[derive(Default)]
pub struct EventHandlers(RwLock<Handlers<Handler>>);

impl EventHandlers {
    /// Registers a handler of a type of events, such as `jobFailed`. A higher priority hears
    /// first.
    ///
    /// # Errors
    /// [`EventsError::TooManyHandlers`].
    pub fn on(
        &self,
        event_type: &str,
        priority: i32,
        handler: impl Fn(&App, &Event) + Send + Sync + 'static,
    ) -> Result<HandlerId, EventsError> {
        let mut handlers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        handlers.on(event_type, priority, Arc::new(handler))
    }

    /// Removes a handler; whether it was there.
    pub fn off(&self, id: HandlerId) -> bool {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .off(id)
    }

    /// Calls the handlers of an event by priority. One that panics is logged; the others still
    /// hear.
    fn emit(&self, app: &App, event: &Event) {
        let handlers: Vec<Handler> = {
            let handlers = self.0.read().unwrap_or_else(PoisonError::into_inner);
            handlers.of(event.name()).cloned().collect()
        };
        for handler in handlers {
            if catch_unwind(AssertUnwindSafe(|| handler(app, event))).is_err() {
                tracing::error!(event = event.name(), "an event handler panicked");
            }
        }
    }
}

/// The server's own handlers: failures are remembered among the errors of the monitor.
///
/// # Errors
/// [`EventsError::TooManyHandlers`]: never with these alone.
pub fn register_own(handlers: &EventHandlers) -> Result<(), EventsError> {
    for name in ["jobFailed", "taskFailed", "batchFailed"] {
        handlers.on(name, 0, |app, event| {
            let fields = event.fields();
            let text = |key: &str| fields.get(key).and_then(|v| v.as_str()).unwrap_or_default();
            let message = text("error");
            tracing::warn!(
                event = event.name(),
                id = text("id"),
                error = message,
                "failed"
            );
            let registry = &app.monitoring.registry;
            // A failed job is no failed request: it is remembered, not counted as one.
            let origin = ErrorOrigin::Response;
            registry.record_error(event.at, origin, event.name(), message, Some(text("id")));
        })?;
    }
    Ok(())
}

/// Hands events to the handlers for as long as the server runs.
pub async fn dispatch(app: Arc<App>) {
    let mut live = app.queue.events(None).live;
    loop {
        match live.recv().await {
            Ok(event) => app.handlers.emit(&app, &event),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "event handlers are too slow; events were missed");
            }
            Err(RecvError::Closed) => return,
        }
    }
}
