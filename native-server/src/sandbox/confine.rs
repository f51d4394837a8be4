//! What the child gives up before it reads any source, layer by layer.
//!
//! Each layer stands by itself: the child would be held by any one of them. What a kernel lacks is
//! reported, not hidden.

use serde::{Deserialize, Serialize};

/// One protection and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name, such as `seccomp`.
    pub name: String,
    /// Whether the kernel enforces it.
    pub active: bool,
    /// Why not, or how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The protections of a child, for health checks and the start-up log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Layers(pub Vec<Layer>);

impl Layers {
    /// Whether the layer of this name is in force.
    #[must_use]
    pub fn is_active(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|layer| layer.name == name && layer.active)
    }

    fn note(&mut self, name: &str, result: Result<Option<String>, String>) {
        let active = result.is_ok();
        let detail = result.unwrap_or_else(Some);
        self.0.push(Layer {
            name: name.to_owned(),
            active,
            detail,
        });
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, layer) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let state = if layer.active { "" } else { " (missing)" };
            write!(f, "{comma}{}{state}", layer.name)?;
        }
        Ok(())
    }
}

/// What the parent asked for.
pub(super) struct Plan {
    pub(super) parent_pid: u32,
    pub(super) address_space_bytes: u64,
    pub(super) cpu_s: u64,
}

/// The parent is gone already.
#[derive(Debug)]
pub(super) struct Orphaned;

/// Gives up everything that a processor does not need. Cannot be undone.
pub(super) fn confine(plan: &Plan) -> Result<Layers, Orphaned> {
    let mut layers = Layers::default();
    #[cfg(target_os = "linux")]
    {
        layers.note("parent_death_signal", linux::die_with_parent());
        layers.note("closed_descriptors", linux::close_descriptors());
    }
    // After the signal is armed: a parent that died before that is seen here.
    if std::os::unix::process::parent_id() != plan.parent_pid {
        return Err(Orphaned);
    }
    #[cfg(target_os = "linux")]
    {
        layers.note("no_new_privileges", linux::no_new_privileges());
        layers.note("landlock", linux::landlock());
    }
    layers.note("resource_limits", limit_resources(plan));
    #[cfg(target_os = "linux")]
    layers.note("seccomp", linux::filter_system_calls());
    Ok(layers)
}

/// The address space, CPU time, files, processes and core dumps of this process.
fn limit_resources(plan: &Plan) -> Result<Option<String>, String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        // Descriptors 0 to 2 stay open; no other can be opened.
        (Resource::Nofile, 3),
        (Resource::Nproc, 0),
        (Resource::Cpu, plan.cpu_s),
        (Resource::As, plan.address_space_bytes),
    ];
    let mut refused = Vec::new();
    for (resource, value) in wanted {
        let value = getrlimit(resource)
            .maximum
            .map_or(value, |maximum| maximum.min(value));
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        if let Err(error) = setrlimit(resource, limit) {
            refused.push(format!("{resource:?}: {error}"));
        }
    }
    if refused.is_empty() {
        Ok(None)
    } else {
        Err(refused.join(", "))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope,
    };
    use rustix::process::{DumpableBehavior, Signal};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    type Outcome = Result<Option<String>, String>;
    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    pub(super) fn die_with_parent() -> Outcome {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| error.to_string())?;
        // No other process of this user may attach to it or read its memory.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| error.to_string())?;
        Ok(None)
    }

    #[allow(unsafe_code)]
    pub(super) fn close_descriptors() -> Outcome {
        // SAFETY: nothing in this process owns a descriptor above 2 yet: the child has opened none,
        // and what it inherited by accident has no owner here.
        let code = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
        if code == 0 {
            Ok(None)
        } else {
            Err(std::io::Error::last_os_error().to_string())
        }
    }

    pub(super) fn no_new_privileges() -> Outcome {
        rustix::thread::set_no_new_privs(true)
            .map(|()| None)
            .map_err(|error| error.to_string())
    }

    /// No right on any file, no TCP, no signals or abstract sockets to others.
    pub(super) fn landlock() -> Outcome {
        let abi = ABI::V6;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
            .and_then(|rules| rules.scope(Scope::from_all(abi)))
            .and_then(|rules| rules.create())
            .and_then(|rules| rules.restrict_self())
            .map_err(|error| error.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(None),
            RulesetStatus::PartiallyEnforced => Ok(Some("partly: an older kernel".into())),
            _ => Err("the kernel has no Landlock".into()),
        }
    }

    /// Two filters: one kills at once on calls that only an attack makes, the other refuses
    /// everything that is not needed to compute, allocate, read fd 0 and write fds 1 and 2.
    pub(super) fn filter_system_calls() -> Outcome {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let install = |rules: Rules, otherwise, matched| -> Result<(), String> {
            let filter = SeccompFilter::new(rules, otherwise, matched, arch)
                .and_then(BpfProgram::try_from)
                .map_err(|error| error.to_string())?;
            seccompiler::apply_filter(&filter).map_err(|error| error.to_string())
        };
        let allowed = allowed_calls().map_err(|error| error.to_string())?;
        install(
            deadly_calls(),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
        )?;
        install(allowed, refuse, SeccompAction::Allow)?;
        Ok(None)
    }

    fn deadly_calls() -> Rules {
        [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
        ]
        .map(|call| (call, Vec::new()))
        .into()
    }

    fn allowed_calls() -> Result<Rules, seccompiler::BackendError> {
        let mut rules: Rules = [
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            libc::SYS_brk,
            libc::SYS_futex,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_sigaltstack,
            libc::SYS_clock_gettime,
            libc::SYS_gettimeofday,
            libc::SYS_getrandom,
            libc::SYS_sched_yield,
            libc::SYS_getpid,
            libc::SYS_gettid,
            libc::SYS_restart_syscall,
        ]
        .map(|call| (call, Vec::new()))
        .into();
        let condition = |argument, op, value| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value)
        };
        let equals = |argument, value| condition(argument, SeccompCmpOp::Eq, value);
        let rule = |conditions| SeccompRule::new(conditions);
        let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(
                call,
                vec![rule(vec![condition(2, executable.clone(), 0)?])?],
            );
        }
        for call in [libc::SYS_read, libc::SYS_readv] {
            rules.insert(call, vec![rule(vec![equals(0, 0)?])?]);
        }
        for call in [libc::SYS_write, libc::SYS_writev] {
            rules.insert(
                call,
                vec![rule(vec![equals(0, 1)?])?, rule(vec![equals(0, 2)?])?],
            );
        }
        // Its own abort, and nobody else's end.
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_tgkill, vec![rule(vec![equals(0, own)?])?]);
        Ok(rules)
    }
}
