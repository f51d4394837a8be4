use super::{Step, answers, apply, config, lived, same_config};
use crate::{
    metrics::{
        AlertState, Category, Monitor, Saved, SnapshotError, SystemSample,
        tests::{START, at, monitor_with},
    },
    time::Timestamp,
};

fn resume(now: Timestamp, saved: Saved<'_>) -> Result<Monitor, SnapshotError> {
    Monitor::resume(now, same_config(&config()), saved)
}

/// A registry that lived on after its snapshot, with what a shell wrote down of it.
fn journalled(seconds: u64) -> (Monitor, Vec<u8>, Vec<Vec<u8>>) {
    let monitor = lived(30);
    let snapshot = monitor.snapshot();
    let mut rows = Vec::new();
    let mut now = at(30);
    for second in 0..seconds {
        for step in [
            Step::Request(second as usize % 3, 200, 1_000 << (second % 20), 70),
            Step::Error(second as u8 % 9, second % 2 == 0, None),
            Step::Vital(second as usize % 5, 100.0),
            Step::System((second % 7 != 0).then_some(99.0), None),
        ] {
            apply(&monitor, &mut now, &step);
        }
        now = now.plus_ms(1000);
        monitor.tick(now);
        rows.push(monitor.row(&monitor.sample(now)));
        super::evaluate(&monitor, now);
    }
    (monitor, snapshot, rows)
}

#[test]
fn rows_and_the_present_go_on_from_the_snapshot() {
    let (monitor, snapshot, rows) = journalled(90);
    let now = at(120);
    let present = monitor.present(now);
    let saved = Saved {
        snapshot: &snapshot,
        rows: &rows,
        present: Some(&present),
    };
    let resumed = resume(now, saved).unwrap();
    assert_eq!(answers(&resumed, now), answers(&monitor, now));
    assert_eq!(resumed.snapshot(), monitor.snapshot());
    assert!(resumed.memory_bytes() <= Monitor::memory_bytes_max(2));
    assert!(rows.iter().all(|row| row.len() < 1000));
}

#[test]
fn a_snapshot_alone_is_enough() {
    let (_, snapshot, _) = journalled(0);
    let saved = Saved {
        snapshot: &snapshot,
        ..Saved::default()
    };
    assert_eq!(resume(at(30), saved).unwrap().snapshot(), snapshot);
}

#[test]
fn the_time_away_is_no_data() {
    let monitor = monitor_with(config());
    let load = |monitor: &Monitor, now| {
        let sample = SystemSample {
            cpu_percent: Some(99.0),
            ..SystemSample::default()
        };
        monitor.record_system(now, &sample);
        let row = monitor.row(&monitor.sample(now));
        super::evaluate(monitor, now);
        row
    };
    let snapshot = monitor.snapshot();
    let rows = [load(&monitor, at(1)), load(&monitor, at(2))];
    let present = monitor.present(at(2));
    let saved = Saved {
        snapshot: &snapshot,
        rows: &rows,
        present: Some(&present),
    };
    let state = |monitor: &Monitor| monitor.rules()[0].state;
    assert_eq!(state(&monitor), AlertState::Pending);
    let back = at(7200);
    let resumed = resume(back, saved).unwrap();
    load(&resumed, back);
    assert_eq!(state(&resumed), AlertState::Pending);
    load(&resumed, back.plus_ms(999));
    assert_eq!(state(&resumed), AlertState::Pending);
    load(&resumed, back.plus_ms(1000));
    assert_eq!(state(&resumed), AlertState::Firing);
    let points = resumed
        .range(Category::System, START, back.plus_ms(5000), None)
        .unwrap();
    let times: Vec<u64> = points.iter().map(|p| p.timestamp.0 - START.0).collect();
    assert!(
        times.iter().all(|&ms| ms <= 2000 || ms >= 7_200_000),
        "{times:?}"
    );
}

#[test]
fn damage_is_refused() {
    let (monitor, snapshot, rows) = journalled(3);
    let present = monitor.present(at(33));
    let whole = |rows: &[Vec<u8>], present: &[u8]| {
        let saved = Saved {
            snapshot: &snapshot,
            rows,
            present: Some(present),
        };
        resume(at(33), saved).map(|_| ())
    };
    assert_eq!(whole(&rows, &present), Ok(()));
    for place in 0..rows[0].len() {
        let mut wrong = rows.clone();
        wrong[0][place] ^= 1;
        assert!(whole(&wrong, &present).is_err(), "{place}");
        wrong[0].truncate(place);
        assert!(whole(&wrong, &present).is_err(), "{place}");
    }
    for place in (0..present.len()).step_by(7) {
        let mut wrong = present.clone();
        wrong[place] ^= 1;
        assert!(whole(&rows, &wrong).is_err(), "{place}");
    }
    // A piece of another kind.
    assert_eq!(whole(&rows, &rows[0]), Err(SnapshotError::NotASnapshot));
}
