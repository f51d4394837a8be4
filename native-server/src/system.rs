//! Samples of this process and this machine.

use std::path::{Path, PathBuf};

use sysinfo::{
    CpuRefreshKind, Disks, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate,
    RefreshKind, System,
};

/// Samples between two looks at the disks, which cost a system call a mount.
const DISK_EVERY: u32 = 12;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SystemSample {
    /// CPU of the machine, percent of all cores; since the sample before.
    pub cpu_percent: f64,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory there is, bytes.
    pub memory_total: u64,
    /// CPU of this process, percent of one core.
    pub process_cpu_percent: f64,
    /// Resident bytes of this process.
    pub rss: u64,
    /// Threads of this process.
    pub threads: Option<u64>,
    /// Bytes in use on the data directory's file system.
    pub disk_used: Option<u64>,
    /// Bytes of that file system.
    pub disk_total: Option<u64>,
    /// Load average of one minute.
    pub load1: Option<f64>,
    /// Seconds that this process runs.
    pub uptime_s: u64,
}

/// Takes samples.
pub struct Sampler {
    system: System,
    pid: Option<Pid>,
    data_dir: PathBuf,
    disk: Option<(u64, u64)>,
    samples: u32,
}

impl Sampler {
    /// A sampler that watches the file system of `data_dir`.
    ///
    /// # Errors
    /// Where the platform tells nothing of itself.
    pub fn new(data_dir: &Path) -> Result<Self, sysinfo::Error> {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let data_dir = data_dir
            .canonicalize()
            .unwrap_or_else(|_| data_dir.to_path_buf());
        Ok(Self {
            system: System::new_with_specifics(kind)?,
            pid: sysinfo::get_current_pid().ok(),
            data_dir,
            disk: None,
            samples: 0,
        })
    }

    /// The state now. CPU shares are since the sample before; of the first one they are 0.
    pub fn sample(&mut self) -> SystemSample {
        self.system.refresh_cpu_usage();
        self.system
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        if let Some(pid) = self.pid {
            let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system
                .refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        }
        if self.samples.is_multiple_of(DISK_EVERY) {
            self.disk = disk_of(&self.data_dir);
        }
        self.samples = self.samples.wrapping_add(1);
        let process = self.pid.and_then(|pid| self.system.process(pid));
        SystemSample {
            cpu_percent: f64::from(self.system.global_cpu_usage()),
            memory_used: self.system.used_memory(),
            memory_total: self.system.total_memory(),
            process_cpu_percent: process.map_or(0.0, |p| f64::from(p.cpu_usage())),
            rss: process.map_or(0, sysinfo::Process::memory),
            threads: threads(),
            disk_used: self.disk.map(|(used, _)| used),
            disk_total: self.disk.map(|(_, total)| total),
            load1: System::load_average().ok().map(|load| load.one),
            uptime_s: process.map_or(0, sysinfo::Process::run_time),
        }
    }
}

/// Used and total bytes of the file system that a folder is on: that with the longest mount point
/// above it.
fn disk_of(folder: &Path) -> Option<(u64, u64)> {
    let disks = Disks::new_with_refreshed_list().ok()?;
    let disk = disks
        .iter()
        .filter(|disk| folder.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some((
        disk.total_space().saturating_sub(disk.available_space()),
        disk.total_space(),
    ))
}

/// Memory of this process, bytes; `None` where the platform does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident.
    pub rss: Option<u64>,
    /// Heap and other private data, resident or not.
    pub data: Option<u64>,
    /// Mapped files and shared memory that are resident.
    pub shared: Option<u64>,
}

/// Reads them from the kernel (Linux).
#[must_use]
pub fn process_memory() -> ProcessMemory {
    let Some(status) = status() else {
        return ProcessMemory::default();
    };
    let kib = |name| field(&status, name).map(|n| n * 1024);
    ProcessMemory {
        rss: kib("VmRSS:"),
        data: kib("VmData:"),
        shared: Some(kib("RssFile:").unwrap_or(0) + kib("RssShmem:").unwrap_or(0)),
    }
}

fn threads() -> Option<u64> {
    field(&status()?, "Threads:")
}

fn status() -> Option<String> {
    std::fs::read_to_string("/proc/self/status").ok()
}

/// The number of a line such as `VmRSS:    1234 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_status_file_are_read() {
        let status = "Name:\tx\nVmRSS:\t  1234 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmData:"), None);
    }

    #[test]
    fn a_sample_is_plausible() {
        let mut sampler = Sampler::new(Path::new(".")).unwrap();
        let sample = sampler.sample();
        assert!(sample.memory_total >= sample.memory_used && sample.memory_used > 0);
        assert!((0.0..=100.0).contains(&sample.cpu_percent));
        #[cfg(target_os = "linux")]
        assert!(sample.rss > 0 && sample.threads.is_some() && process_memory().rss.is_some());
    }
}
