//! On which CPUs Redis and its clients run.
//!
//! A single read waits for one wake-up after another, and what these cost depends on where the
//! kernel puts the two: on one CPU a read takes some 40 us, on two that fall asleep in between
//! some 150 us. Left to itself it changes its mind every few hundred reads.

use anyhow::Context as _;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use tokio::runtime::{Builder, Runtime};

/// Where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Where the kernel puts them.
    Free,
    /// Redis on a CPU of its own, as on a machine of its own.
    Apart,
    /// All on one CPU: nothing but what either computes.
    Together,
}

/// The CPUs of a set.
fn cpus(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|&n| set.is_set(n)).collect()
}

fn set_of(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    set
}

impl Placement {
    /// Those that this machine can have.
    pub fn possible() -> Vec<Self> {
        match sched_getaffinity(None).map(|set| cpus(&set).len()) {
            Ok(2..) => vec![Self::Apart, Self::Together, Self::Free],
            _ => vec![Self::Together, Self::Free],
        }
    }

    /// Moves Redis' thread of commands, and gives a runtime whose threads are where clients are.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn runtime(self, redis: u32) -> anyhow::Result<Runtime> {
        let own = sched_getaffinity(None)?;
        let all = cpus(&own);
        let (others, last) = all.split_at(all.len().saturating_sub(1));
        let (server, clients) = match self {
            Self::Free => (&all[..], &all[..]),
            Self::Apart => (last, others),
            Self::Together => (last, last),
        };
        let pid = i32::try_from(redis).ok().and_then(Pid::from_raw);
        let pid = Some(pid.context("no process of Redis")?);
        sched_setaffinity(pid, &set_of(server))?;
        let clients = set_of(clients);
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(move || {
                // Refused, the figures are those of a free placement: slower at worst.
                let _ = sched_setaffinity(None, &clients);
            })
            .build()?;
        Ok(runtime)
    }

    /// What a case of it is called.
    pub fn words(self) -> &'static str {
        match self {
            Self::Free => "",
            Self::Apart => ", Redis on a CPU of its own",
            Self::Together => ", one CPU for both",
        }
    }
}
