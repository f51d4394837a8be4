//! The ring of slots of a circular buffer: JavaScript keeps the values by slot.

use sommos_core::buffer::CircularBuffer;
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Slots 0 to capacity - 1 in the order of their pushes.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SlotRing(CircularBuffer<u32>);

#[wasm_bindgen]
impl SlotRing {
    /// An empty ring.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(capacity: usize) -> Result<Self, JsValue> {
        CircularBuffer::new(capacity)
            .map(Self)
            .map_err(|error| refuse("INVALID_OPTION", error))
    }

    /// The slot for the next value: of a full ring the oldest, which is thereby forgotten.
    pub fn push(&mut self) -> u32 {
        let next = self.0.newest().map_or(0, |&slot| slot + 1);
        let slot = if next as usize == self.0.capacity() {
            0
        } else {
            next
        };
        self.0.push(slot);
        slot
    }

    /// Takes the oldest slot.
    pub fn pop(&mut self) -> Option<u32> {
        self.0.pop()
    }

    /// The oldest slot.
    pub fn oldest(&self) -> Option<u32> {
        self.0.peek().copied()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Slots in use.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Bytes in the module's memory.
    #[wasm_bindgen(js_name = memoryUsage)]
    pub fn memory_usage(&self) -> usize {
        self.0.memory_usage()
    }
}
