//! The life of the children.

use super::*;

/// Cancels at the first question after `set`.
struct Switch(AtomicBool);

impl Control for Switch {
    fn checkpoint(&self, _: u64, _: u64) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) {
            Err(Stopped::Cancelled)
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_cancel_ends_a_running_and_a_waiting_chunk() {
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    let switch = Switch(AtomicBool::new(false));
    let limits = Limits {
        time_ms: 60_000,
        ..SHORT
    };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| sandbox.run("chunk => { for (;;) {} }", b"[1]", limits, &switch))
            })
            .collect();
        while sandbox.stats().started == 0 {
            std::thread::yield_now();
        }
        switch.0.store(true, Ordering::Relaxed);
        for call in calls {
            assert_eq!(
                call.join().unwrap(),
                Err(SandboxError::Stopped(Stopped::Cancelled))
            );
        }
    });
    assert_eq!(sandbox.stats().busy, 0);
}

#[test]
fn no_child_is_left_over() {
    // Other tests of this process have children too: look at these by id.
    let sandbox = sandbox();
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let ids = sandbox.idle_ids();
    assert_eq!(ids.len(), 1);
    assert!(
        children_of_this_process().contains(&ids[0]),
        "a warm child is a child of ours"
    );
    broken_limit(&sandbox, "chunk => { for (;;) {} }");
    assert!(
        !children_of_this_process().contains(&ids[0]),
        "killed and reaped"
    );
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let ids = sandbox.idle_ids();
    drop(sandbox);
    assert!(
        !Path::new(&format!("/proc/{}", ids[0])).exists(),
        "ended with its sandbox"
    );
}

#[test]
fn children_are_recycled_and_idle_ones_end() {
    let few = SandboxOptions {
        children_max: 1,
        chunks_max: 3,
        idle_ms: 1,
        ..options()
    };
    let sandbox = Sandbox::new(few).unwrap();
    for n in 0..7 {
        run_in(&sandbox, "c => c", &json!([n])).unwrap();
    }
    assert!(sandbox.stats().started >= 3, "{:?}", sandbox.stats());
    let patience = Instant::now() + Duration::from_secs(20);
    while sandbox.stats().idle > 0 {
        assert!(Instant::now() < patience, "an idle child did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_child_killed_from_outside_is_replaced() {
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    run_in(&sandbox, "c => c", &json!([1])).unwrap();
    let id = sandbox.idle_ids()[0];
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // Whether the pool sees the death before or during the exchange, only "retry" may come out.
    match run_in(&sandbox, "c => c", &json!([2])) {
        Ok(value) => assert_eq!(value, json!([2])),
        Err(error) => assert!(error.is_retryable(), "{error}"),
    }
    assert_eq!(run_in(&sandbox, "c => c", &json!([3])), Ok(json!([3])));
}

#[test]
fn a_missing_program_is_retryable() {
    let sandbox = Sandbox::new(SandboxOptions {
        program: "/nonexistent/sommos".into(),
        ..options()
    })
    .unwrap();
    let error = sandbox
        .run("c => c", b"[1]", SHORT, &Unstoppable)
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_layers_are_told_and_hold() {
    let sandbox = sandbox();
    let layers = sandbox.layers().unwrap();
    for name in [
        "parent_death_signal",
        "closed_descriptors",
        "no_new_privileges",
        "resource_limits",
    ] {
        assert!(layers.is_active(name), "{layers}");
    }
    // Of these two a kernel may have none; then the layer says why.
    for layer in layers.0.iter().filter(|layer| !layer.active) {
        assert!(
            ["landlock", "seccomp"].contains(&layer.name.as_str()),
            "{layer:?}"
        );
        assert!(layer.detail.is_some(), "{layer:?}");
    }
    let id = sandbox.idle_ids()[0];
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(
        field("Seccomp:"),
        if layers.is_active("seccomp") {
            "2"
        } else {
            "0"
        }
    );
    assert_eq!(field("Threads:"), "1");
}

#[test]
fn a_child_without_its_parent_ends() {
    let child = |parent: u32| {
        std::process::Command::new(env!("CARGO_BIN_EXE_sommos-server"))
            .args(["sandbox-child", &parent.to_string(), "8000000000", "10"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
    };
    assert!(
        child(std::process::id()).success(),
        "a closed pipe is the normal end"
    );
    assert_eq!(
        child(1 << 30).code(),
        Some(71),
        "another parent than the one announced"
    );
}

#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    // On Linux a parent death signal follows the thread that started the child.
    let sandbox = Sandbox::new(SandboxOptions {
        children_max: 1,
        ..options()
    })
    .unwrap();
    for n in 0..3 {
        let caller = std::thread::scope(|scope| {
            scope
                .spawn(|| run_in(&sandbox, "c => c", &json!([n])))
                .join()
                .unwrap()
        });
        assert_eq!(caller, Ok(json!([n])));
    }
    assert_eq!(sandbox.stats().started, 1);
}
