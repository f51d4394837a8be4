//! The alerts, found again by their rules' names.

use super::{
    SnapshotError,
    codec::{Packed, Reader, Writer},
};
use crate::{
    metrics::{
        Alert, AlertName, Resolution, Severity,
        alert::{Alerts, HISTORY_MAX, ID_BYTES_MAX, MESSAGE_BYTES_MAX, Phase, Watch},
    },
    time::Timestamp,
};

impl Packed for AlertName {
    fn pack(&self, to: &mut Writer) {
        to.0.push(*self as u8);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let place = usize::from(from.byte()?);
        let name = Self::ALL.get(place).copied();
        name.ok_or_else(|| from.malformed("an alert rule that does not exist"))
    }
}

impl Packed for Severity {
    fn pack(&self, to: &mut Writer) {
        to.0.push(u8::from(*self == Self::Critical));
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match from.byte()? {
            0 => Ok(Self::Warning),
            1 => Ok(Self::Critical),
            _ => Err(from.malformed("a severity that does not exist")),
        }
    }
}

impl Packed for Resolution {
    fn pack(&self, to: &mut Writer) {
        to.0.push(u8::from(*self == Self::Recovery));
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match from.byte()? {
            0 => Ok(Self::Manual),
            1 => Ok(Self::Recovery),
            _ => Err(from.malformed("a resolution that does not exist")),
        }
    }
}

impl Packed for Alert {
    fn pack(&self, to: &mut Writer) {
        self.id.pack(to);
        self.name.pack(to);
        self.severity.pack(to);
        self.message.pack(to);
        self.value.pack(to);
        self.threshold.pack(to);
        self.timestamp.pack(to);
        self.resolved_at.zip(self.resolution).pack(to);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let id = from.text(ID_BYTES_MAX)?;
        let name = AlertName::unpack(from)?;
        let mut alert = Self {
            id,
            name,
            severity: Packed::unpack(from)?,
            message: from.text(MESSAGE_BYTES_MAX)?,
            value: Packed::unpack(from)?,
            threshold: Packed::unpack(from)?,
            unit: name.unit(),
            timestamp: Packed::unpack(from)?,
            resolved: false,
            resolved_at: None,
            resolution: None,
        };
        let ended: Option<(Timestamp, Resolution)> = Packed::unpack(from)?;
        (alert.resolved_at, alert.resolution) = ended.unzip();
        alert.resolved = ended.is_some();
        Ok(alert)
    }
}

impl Packed for Phase {
    fn pack(&self, to: &mut Writer) {
        match self {
            Self::Inactive => to.0.push(0),
            Self::Pending { since } => {
                to.0.push(1);
                since.pack(to);
            }
            Self::Firing { alert, well_since } => {
                to.0.push(2);
                alert.pack(to);
                well_since.pack(to);
            }
            Self::Silenced { well_since } => {
                to.0.push(3);
                well_since.pack(to);
            }
        }
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(match from.byte()? {
            0 => Self::Inactive,
            1 => Self::Pending {
                since: Packed::unpack(from)?,
            },
            2 => {
                let alert = Alert::unpack(from)?;
                from.check(!alert.resolved, "an open alert that is resolved")?;
                Self::Firing {
                    alert,
                    well_since: Packed::unpack(from)?,
                }
            }
            3 => Self::Silenced {
                well_since: Packed::unpack(from)?,
            },
            _ => return Err(from.malformed("a state of a rule that does not exist")),
        })
    }
}

pub(super) fn pack_alerts(alerts: &Alerts, to: &mut Writer) {
    to.number(alerts.watches.len() as u64);
    for watch in &alerts.watches {
        watch.rule.name.pack(to);
        watch.phase.pack(to);
        watch.value.pack(to);
    }
    to.list(alerts.ended.iter());
}

/// Brings the rules of the configuration to where they stood; what belongs to others is dropped.
pub(super) fn unpack_alerts(
    alerts: &mut Alerts,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    let length = from.length(AlertName::ALL.len(), "more alert rules than there are")?;
    for _ in 0..length {
        let name = AlertName::unpack(from)?;
        let phase = Phase::unpack(from)?;
        let value = Option::unpack(from)?;
        if let Phase::Firing { alert, .. } = &phase {
            from.check(alert.name == name, "an open alert of another rule")?;
        }
        let mut watches = alerts.watches.iter_mut();
        let watched = |watch: &&mut Watch| watch.rule.name == name && watch.rule.enabled;
        if let Some(watch) = watches.find(watched) {
            watch.phase = phase;
            watch.value = value;
        }
    }
    let ended: Vec<Alert> = from.list(HISTORY_MAX, "more ended alerts than are remembered")?;
    from.check(
        ended.iter().all(|alert| alert.resolved),
        "an ended alert that is open",
    )?;
    alerts.ended = ended.into();
    Ok(())
}
