//! Samples of this process and this machine.
