//! Who hears of an event, and in which order: handlers by priority.
//!
//! The registry only orders; the shell calls. That is SommOS's EventDrivenProcessor without its
//! timers.

use std::collections::BTreeMap;

use thiserror::Error;

/// Handlers that one registry may have; each costs some 64 bytes.
pub const HANDLERS_MAX: usize = 10_000;

/// Why a handler was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventsError {
    /// Too many handlers.
    #[error("{HANDLERS_MAX} handlers are registered, the limit; remove some first")]
    TooManyHandlers,
}

/// A handler's registration, to remove it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerId(u64);

#[derive(Debug, Clone)]
struct Entry<H> {
    id: HandlerId,
    priority: i32,
    handler: H,
}

/// Handlers by the type of their event.
#[derive(Debug, Clone)]
pub struct Handlers<H> {
    by_type: BTreeMap<Box<str>, Vec<Entry<H>>>,
    count: usize,
    next: u64,
}

impl<H> Default for Handlers<H> {
    fn default() -> Self {
        Self {
            by_type: BTreeMap::new(),
            count: 0,
            next: 0,
        }
    }
}

impl<H> Handlers<H> {
    /// Registers a handler. A higher priority hears first; equals hear in order of registration.
    /// O(handlers of this type).
    ///
    /// # Errors
    /// [`EventsError::TooManyHandlers`].
    pub fn on(
        &mut self,
        event_type: &str,
        priority: i32,
        handler: H,
    ) -> Result<HandlerId, EventsError> {
        if self.count >= HANDLERS_MAX {
            return Err(EventsError::TooManyHandlers);
        }
        let id = HandlerId(self.next);
        self.next += 1;
        self.count += 1;
        let list = self.by_type.entry(event_type.into()).or_default();
        let at = list.partition_point(|entry| entry.priority >= priority);
        list.insert(
            at,
            Entry {
                id,
                priority,
                handler,
            },
        );
        Ok(id)
    }

    /// Removes a handler; whether it was there.
    pub fn off(&mut self, id: HandlerId) -> bool {
        let before = self.count;
        self.by_type.retain(|_, list| {
            let length = list.len();
            list.retain(|entry| entry.id != id);
            self.count -= length - list.len();
            !list.is_empty()
        });
        self.count < before
    }

    /// The handlers of a type, in the order in which they hear.
    pub fn of(&self, event_type: &str) -> impl Iterator<Item = &H> {
        self.by_type
            .get(event_type)
            .into_iter()
            .flatten()
            .map(|entry| &entry.handler)
    }

    /// Handlers of all types.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_priority_hears_first_and_equals_in_order() {
        let mut handlers = Handlers::default();
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("e", 5)] {
            handlers.on("jobFailed", priority, name).unwrap();
        }
        handlers.on("other", 9, "x").unwrap();
        let heard: Vec<_> = handlers.of("jobFailed").copied().collect();
        assert_eq!(heard, ["b", "e", "a", "c", "d"]);
    }

    #[test]
    fn a_removed_handler_hears_no_more() {
        let mut handlers = Handlers::default();
        let id = handlers.on("t", 0, 1).unwrap();
        handlers.on("t", 0, 2).unwrap();
        assert!(handlers.off(id));
        assert!(!handlers.off(id));
        assert_eq!(handlers.of("t").copied().collect::<Vec<_>>(), [2]);
        assert_eq!(handlers.len(), 1);
    }

    #[test]
    fn there_is_a_limit() {
        let mut handlers = Handlers::default();
        for _ in 0..HANDLERS_MAX {
            handlers.on("t", 0, ()).unwrap();
        }
        assert_eq!(handlers.on("t", 0, ()), Err(EventsError::TooManyHandlers));
    }
}
