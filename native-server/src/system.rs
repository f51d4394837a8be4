//! Samples of this machine and this process.
//!
//! [`Sampler::sample`] reads some small files of /proc and /sys and asks the file system once: well
//! below 1 ms. Nothing here keeps history or decides anything; that is `sommos_core::metrics`.

mod flows;

pub use flows::Rates;

use std::path::{Path, PathBuf};

use serde::Serialize;
use sommos_core::metrics::Monitor;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::allocator::{self, AllocatorFigures};
use flows::Flows;

/// One look at the machine and the process. What a platform does not tell is none, or 0 where
/// there is no option.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemSample {
    /// Share of all cores in use since the sample before, percent, 0 to 100.
    pub cpu_percent: f64,
    /// Memory of the machine that is not available to a new program, bytes.
    pub memory_used: u64,
    /// Memory of the machine, bytes.
    pub memory_total: u64,
    /// CPU time of this process since the sample before, percent of one core: 250 is two and a
    /// half cores.
    pub process_cpu_percent: f64,
    /// Memory of this process in RAM, bytes.
    pub rss: u64,
    /// Threads of this process.
    pub threads: Option<u64>,
    /// Bytes in use on the file system of the data folder.
    pub disk_used: Option<u64>,
    /// Bytes of that file system that this process may ever use, reserved blocks left out.
    pub disk_total: Option<u64>,
    /// Tasks that ran or waited, averaged over a minute; 0 on Windows.
    pub load1: f64,
    /// The same over five minutes.
    pub load5: f64,
    /// The same over a quarter of an hour.
    pub load15: f64,
    /// Share of each core in use since the sample before, percent; at most
    /// [`Monitor::CORES_MAX`] of them.
    pub cpu_per_core: Vec<f64>,
    /// Open files of this process.
    pub open_files: Option<u64>,
    /// Bytes a second over disks and network.
    pub rates: Rates,
    /// Seconds since the machine started.
    pub uptime_s: u64,
    /// Seconds since this process started.
    pub process_uptime_s: u64,
    /// The heap, when the counting allocator is installed.
    pub heap: Option<AllocatorFigures>,
}

impl SystemSample {
    /// The part that the history keeps.
    #[must_use]
    pub fn registered(&self) -> sommos_core::metrics::SystemSample {
        sommos_core::metrics::SystemSample {
            cpu_percent: Some(self.cpu_percent),
            memory_used: Some(self.memory_used),
            memory_total: Some(self.memory_total),
            process_cpu_percent: Some(self.process_cpu_percent),
            rss: Some(self.rss),
            threads: self.threads,
            disk_used: self.disk_used,
            disk_total: self.disk_total,
            load1: Some(self.load1),
            uptime_s: Some(self.process_uptime_s),
            load5: Some(self.load5),
            load15: Some(self.load15),
            disk_read: self.rates.disk_read,
            disk_write: self.rates.disk_write,
            network_in: self.rates.network_in,
            network_out: self.rates.network_out,
            open_files: self.open_files,
            heap_used: self.heap.map(|heap| heap.current_bytes),
            process_read: self.rates.process_read,
            process_write: self.rates.process_write,
        }
    }
}

/// CPU time of the calling thread; zero where the platform does not tell.
pub fn thread_cpu() -> std::time::Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        std::time::Duration::new(seconds, nanos)
    }
    #[cfg(not(unix))]
    {
        std::time::Duration::ZERO
    }
}

/// Takes samples; keeps what CPU shares are differences from.
#[derive(Debug)]
pub struct Sampler {
    system: Option<System>,
    pid: Option<Pid>,
    data_dir: PathBuf,
    flows: Flows,
}

impl Sampler {
    /// A sampler that watches the file system of `data_dir`. CPU shares count from now; samples
    /// less than 200 ms apart repeat them.
    pub fn new(data_dir: &Path) -> Self {
        let mut sampler = Self {
            system: System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
            data_dir: data_dir.to_path_buf(),
            flows: Flows::new(),
        };
        sampler.refresh();
        sampler
    }

    /// Looks at everything once.
    pub fn sample(&mut self) -> SystemSample {
        self.refresh();
        let system = self.system.as_ref();
        let process = system
            .zip(self.pid)
            .and_then(|(system, pid)| system.process(pid));
        let disk = disk_usage(&self.data_dir);
        let io = process.map(|process| {
            let usage = process.disk_usage();
            (usage.total_read_bytes, usage.total_written_bytes)
        });
        let load = System::load_average().ok();
        SystemSample {
            cpu_percent: system.map_or(0.0, |system| f64::from(system.global_cpu_usage())),
            memory_used: system.map_or(0, |system| {
                system
                    .total_memory()
                    .saturating_sub(system.available_memory())
            }),
            memory_total: system.map_or(0, System::total_memory),
            process_cpu_percent: process.map_or(0.0, |process| f64::from(process.cpu_usage())),
            rss: process.map_or(0, sysinfo::Process::memory),
            threads: threads(),
            disk_used: disk.map(|(used, _)| used),
            disk_total: disk.map(|(_, total)| total),
            load1: load.as_ref().map_or(0.0, |load| load.one),
            load5: load.as_ref().map_or(0.0, |load| load.five),
            load15: load.as_ref().map_or(0.0, |load| load.fifteen),
            cpu_per_core: system.map_or_else(Vec::new, cores),
            open_files: process
                .and_then(sysinfo::Process::open_files)
                .map(|files| files as u64),
            rates: self.flows.rates(io),
            uptime_s: System::uptime().unwrap_or(0),
            process_uptime_s: process.map_or(0, sysinfo::Process::run_time),
            heap: allocator::figures(),
        }
    }

    fn refresh(&mut self) {
        let Some(system) = &mut self.system else {
            return;
        };
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        if let Some(pid) = self.pid {
            // Without tasks: those would be one file a thread.
            system.refresh_processes_specifics(
                ProcessesToUpdate::Some(&[pid]),
                false,
                ProcessRefreshKind::nothing()
                    .without_tasks()
                    .with_cpu()
                    .with_disk_usage()
                    .with_memory(),
            );
        }
    }
}

fn cores(system: &System) -> Vec<f64> {
    let cores = system.cpus().iter().take(Monitor::CORES_MAX);
    cores.map(|core| f64::from(core.usage())).collect()
}

/// Memory of this process as the kernel counts it, bytes; none off Linux.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessMemory {
    /// In RAM now (VmRSS).
    pub rss: Option<u64>,
    /// Heap and other private data, touched or not (VmData).
    pub data: Option<u64>,
    /// Of files and shared with others, in RAM now (RssFile + RssShmem): code, mapped databases.
    pub shared: Option<u64>,
}

/// Reads /proc/self/status, about 30 µs.
pub fn process_memory() -> ProcessMemory {
    own_status().map_or_else(ProcessMemory::default, |status| parse_memory(&status))
}

fn own_status() -> Option<String> {
    if cfg!(target_os = "linux") {
        std::fs::read_to_string("/proc/self/status").ok()
    } else {
        None
    }
}

fn threads() -> Option<u64> {
    field(&own_status()?, "Threads")
}

fn parse_memory(status: &str) -> ProcessMemory {
    let bytes = |name| field(status, name)?.checked_mul(1024);
    ProcessMemory {
        rss: bytes("VmRSS"),
        data: bytes("VmData"),
        shared: bytes("RssFile")
            .zip(bytes("RssShmem"))
            .map(|(file, shmem)| file + shmem),
    }
}

/// The number after `NAME:` at the beginning of a line.
fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Used and total bytes of the file system that holds this folder.
#[cfg(unix)]
fn disk_usage(folder: &Path) -> Option<(u64, u64)> {
    let figures = rustix::fs::statvfs(folder).ok()?;
    let used = figures.f_blocks.checked_sub(figures.f_bfree)?;
    let total = used.checked_add(figures.f_bavail)?;
    Some((
        used.checked_mul(figures.f_frsize)?,
        total.checked_mul(figures.f_frsize)?,
    ))
}

/// Used and total bytes of the disk that holds this folder.
#[cfg(not(unix))]
fn disk_usage(folder: &Path) -> Option<(u64, u64)> {
    use sysinfo::{DiskRefreshKind, Disks};

    let folder = folder.canonicalize().ok()?;
    let disks =
        Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()).ok()?;
    let disk = disks
        .iter()
        .filter(|disk| folder.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    let total = disk.total_space();
    Some((total.checked_sub(disk.available_space())?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_within_its_ranges() {
        let mut sampler = Sampler::new(&std::env::temp_dir());
        let sample = sampler.sample();
        assert!((0.0..=100.0).contains(&sample.cpu_percent), "{sample:?}");
        assert!(sample.process_cpu_percent >= 0.0, "{sample:?}");
        assert!(
            sample.memory_used > 0 && sample.memory_used <= sample.memory_total,
            "{sample:?}"
        );
        assert!(
            sample.rss > 0 && sample.rss <= sample.memory_total,
            "{sample:?}"
        );
        assert!(sample.load1 >= 0.0, "{sample:?}");
        assert!(sample.load5 >= 0.0 && sample.load15 >= 0.0, "{sample:?}");
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(sample.cpu_per_core.len() >= cores, "{sample:?}");
        let percent = 0.0..=100.0;
        assert!(
            sample
                .cpu_per_core
                .iter()
                .all(|core| percent.contains(core))
        );
        assert!(
            sample.open_files.is_none_or(|files| files > 0),
            "{sample:?}"
        );
        let (used, total) = sample.disk_used.zip(sample.disk_total).unwrap();
        assert!(used <= total && total > 0, "{sample:?}");
        assert!(sample.uptime_s >= sample.process_uptime_s, "{sample:?}");
    }

    #[test]
    fn a_folder_that_is_gone_has_no_disk_figures() {
        let sample = Sampler::new(Path::new("/nowhere/at/all")).sample();
        assert_eq!((sample.disk_used, sample.disk_total), (None, None));
        assert!(sample.memory_total > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_and_memory_follow_the_process() {
        let held = vec![1_u8; 32 << 20];
        let before = threads().unwrap();
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        // Other tests start and end threads too: at least this one and the test's own are there.
        assert!(before >= 1 && threads().unwrap() >= 2);
        drop(stop);
        assert!(thread.join().unwrap().is_err());
        let memory = process_memory();
        let (rss, data) = memory.rss.zip(memory.data).unwrap();
        assert!(
            rss >= held.len() as u64 && data >= held.len() as u64,
            "{memory:?}"
        );
        assert!(memory.shared.unwrap() <= rss, "{memory:?}");
    }

    #[test]
    fn status_lines_are_found_by_their_whole_name() {
        let status =
            "Name:\tVmRSS: 1\nVmRSSX:\t 2 kB\nVmRSS:\t  12 kB\nVmData:\tmuch\nRssFile:\t3 kB\n";
        let memory = parse_memory(status);
        assert_eq!(
            memory,
            ProcessMemory {
                rss: Some(12_288),
                data: None,
                shared: None
            }
        );
        assert_eq!(parse_memory(""), ProcessMemory::default());
    }
}
