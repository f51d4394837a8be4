//! The job scheduler as a state machine.
