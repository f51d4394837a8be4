//! The child: gives up its rights, then answers one request after the other.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    confine::{self, Plan},
    frame::{self, CHUNK_BYTES_MAX, Fault, FaultKind, Request, SOURCE_BYTES_MAX, Tag},
    script::Engine,
};

/// The main function of `sandbox-child`: call it when the first argument is
/// [`CHILD_COMMAND`](super::CHILD_COMMAND), before any thread starts and any file opens.
///
/// Arguments: the parent's process id, address space in bytes, CPU time in seconds.
pub fn child_main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args()
        .skip(2)
        .map_while(|argument| argument.parse().ok())
        .collect();
    let &[parent_pid, address_space_bytes, cpu_s] = numbers.as_slice() else {
        // Only a person at a terminal gets here.
        let _ = writeln!(
            io::stderr(),
            "{} is started by the server itself",
            super::CHILD_COMMAND
        );
        return ExitCode::from(64);
    };
    let plan = Plan {
        parent_pid: parent_pid as u32,
        address_space_bytes,
        cpu_s,
    };
    let Ok(layers) = confine::confine(&plan) else {
        return ExitCode::from(71);
    };
    match serde_json::to_vec(&layers)
        .map_err(io::Error::from)
        .and_then(|ready| serve(&ready))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(74),
    }
}

/// Answers until the parent closes the pipe or a limit was broken.
fn serve(ready: &[u8]) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    frame::write_reply(&mut output, Tag::Ready, ready)?;
    // Made while the parent is busy elsewhere, so that no chunk waits for it.
    let mut engine = Engine::new();
    while let Some(request) = Request::read(&mut input)? {
        let started = Instant::now();
        if request.source_bytes > SOURCE_BYTES_MAX || request.chunk_bytes > CHUNK_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let source = frame::read_vec(&mut input, request.source_bytes, 0)?;
        // One byte of room: the engine wants a terminator behind the text.
        let chunk = match frame::read_vec(&mut input, request.chunk_bytes, 1) {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                io::copy(
                    &mut input.by_ref().take(request.chunk_bytes),
                    &mut io::sink(),
                )?;
                let fault = Fault::new(FaultKind::Memory, "no memory for the chunk itself");
                return reply(&mut output, Err(&fault));
            }
            other => other?,
        };
        let deadline = started + Duration::from_millis(request.limits.time_ms);
        let result = engine.and_then(|engine| engine.run(&source, chunk, request.limits, deadline));
        reply(&mut output, result.as_deref())?;
        if result.is_err_and(|fault| fault.kind.is_limit()) {
            return Ok(());
        }
        engine = Engine::new();
    }
    Ok(())
}

fn reply(output: &mut impl io::Write, result: Result<&[u8], &Fault>) -> io::Result<()> {
    match result {
        Ok(json) => frame::write_reply(output, Tag::Output, json),
        Err(fault) => frame::write_reply(output, Tag::Fault, &serde_json::to_vec(fault)?),
    }
}
