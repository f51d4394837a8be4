//! The server binary.

use std::process::ExitCode;

use sommos_server::sandbox;

fn main() -> ExitCode {
    // First of all: a sandbox child must open nothing and start no thread.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == sandbox::CHILD_COMMAND)
    {
        return sandbox::child_main();
    }
    ExitCode::SUCCESS
}
