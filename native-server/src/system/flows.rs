//! Bytes a second over disks and network: differences of the kernel's counters.

use std::{collections::BTreeMap, ffi::OsString, time::Instant};

use serde::Serialize;
use sysinfo::{DiskRefreshKind, Disks, InterfaceOperationalState, Networks};

/// Samples closer than this have no rate of their own, seconds.
const INTERVAL_S_MIN: f64 = 0.05;

/// Bytes since the counters began.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    disk_read: u64,
    disk_written: u64,
    received: u64,
    transmitted: u64,
    process_read: u64,
    process_written: u64,
}

/// Bytes a second; none where the platform does not count, or before the second sample.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Read from the machine's mounted disks.
    pub disk_read: Option<f64>,
    /// Written to them.
    pub disk_write: Option<f64>,
    /// Received over the machine's interfaces but loopback.
    pub network_in: Option<f64>,
    /// Sent over them.
    pub network_out: Option<f64>,
    /// Read from disks by this process.
    pub process_read: Option<f64>,
    /// Written to disks by this process.
    pub process_write: Option<f64>,
}

/// Remembers the counters of the sample before.
#[derive(Debug)]
pub(super) struct Flows {
    disks: Option<Disks>,
    networks: Option<Networks>,
    last: Option<(Instant, Totals)>,
    rates: Rates,
}

fn io_usage() -> DiskRefreshKind {
    DiskRefreshKind::nothing().with_io_usage()
}

impl Flows {
    pub(super) fn new() -> Self {
        Self {
            disks: Disks::new_with_refreshed_list_specifics(io_usage()).ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            last: None,
            rates: Rates::default(),
        }
    }

    /// The rates since the call before; `process` are bytes read and written by this process.
    pub(super) fn rates(&mut self, process: Option<(u64, u64)>) -> Rates {
        if let Some(disks) = &mut self.disks {
            disks.refresh_specifics(true, io_usage());
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
        }
        let now = (Instant::now(), self.totals(process));
        let Some((began, before)) = self.last else {
            self.last = Some(now);
            return self.rates;
        };
        let seconds = began.elapsed().as_secs_f64();
        if seconds < INTERVAL_S_MIN {
            return self.rates;
        }
        let after = now.1;
        // A disk or interface that went away takes its bytes along: no rate is negative.
        let rate = |after: u64, before: u64| Some(after.saturating_sub(before) as f64 / seconds);
        let disk = |rate: Option<f64>| self.disks.as_ref().and(rate);
        let network = |rate: Option<f64>| self.networks.as_ref().and(rate);
        self.rates = Rates {
            disk_read: disk(rate(after.disk_read, before.disk_read)),
            disk_write: disk(rate(after.disk_written, before.disk_written)),
            network_in: network(rate(after.received, before.received)),
            network_out: network(rate(after.transmitted, before.transmitted)),
            process_read: process.and(rate(after.process_read, before.process_read)),
            process_write: process.and(rate(after.process_written, before.process_written)),
        };
        self.last = Some(now);
        self.rates
    }

    fn totals(&self, process: Option<(u64, u64)>) -> Totals {
        let mut totals = Totals::default();
        // A device that is mounted twice is one disk.
        let mut devices = BTreeMap::<OsString, (u64, u64)>::new();
        for disk in self.disks.iter().flat_map(|disks| disks.iter()) {
            let usage = disk.usage();
            let bytes = (usage.total_read_bytes, usage.total_written_bytes);
            devices.insert(disk.name().to_owned(), bytes);
        }
        for (read, written) in devices.into_values() {
            totals.disk_read = totals.disk_read.saturating_add(read);
            totals.disk_written = totals.disk_written.saturating_add(written);
        }
        for (name, network) in self.networks.iter().flat_map(|networks| networks.iter()) {
            let down = network.operational_state() == InterfaceOperationalState::Down;
            if is_loopback(&name.to_string_lossy()) || down {
                continue;
            }
            totals.received = totals.received.saturating_add(network.total_received());
            totals.transmitted = totals
                .transmitted
                .saturating_add(network.total_transmitted());
        }
        (totals.process_read, totals.process_written) = process.unwrap_or_default();
        totals
    }
}

/// `lo` on Linux, `lo0` on BSD and macOS, a name with the word on Windows.
fn is_loopback(name: &str) -> bool {
    name == "lo" || name == "lo0" || name.to_ascii_lowercase().contains("loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_samples() {
        let mut flows = Flows::new();
        assert_eq!(flows.rates(Some((0, 0))), Rates::default());
        flows.last = flows
            .last
            .map(|(at, totals)| (at - std::time::Duration::from_secs(2), totals));
        let rates = flows.rates(Some((4096, 8192)));
        let near = |rate: Option<f64>, bytes: f64| {
            let rate = rate.unwrap();
            rate > bytes * 0.4 && rate <= bytes / 2.0
        };
        assert!(near(rates.process_read, 4096.0), "{rates:?}");
        assert!(near(rates.process_write, 8192.0), "{rates:?}");
        assert!(rates.network_in.is_none_or(|rate| rate >= 0.0), "{rates:?}");
    }

    #[test]
    fn loopback_is_no_traffic() {
        assert!(is_loopback("lo") && is_loopback("lo0") && is_loopback("Loopback Pseudo-1"));
        assert!(!is_loopback("eth0") && !is_loopback("wlo1"));
    }
}
