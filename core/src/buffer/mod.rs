//! Sequences of bounded or compressed size: circular buffer, run-length array.
