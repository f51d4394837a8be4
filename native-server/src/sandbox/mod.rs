//! Processor source text in a killable child process.
