//! Robust statistics of a short series: a line that spikes do not bend, whether it leads anywhere,
//! and which values are spikes.
//!
//! Up to 29 % of the values may be anything before the line goes wrong; least squares stands none.
//! O(n²) slopes of n values, so callers keep series short. Sums run in the order of the series: the
//! same series gives the same bits on every platform.

/// Which way a series goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Rising,
    Falling,
    Flat,
}

/// A line through a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) slope: f64,
    /// The value at x = 0.
    pub(super) intercept: f64,
    pub(super) course: Course,
}

/// Fewest values of which a spike can be told.
const OUTLIER_SAMPLES_MIN: usize = 5;
/// Modified z-score over which a value is an outlier: B. Iglewicz and D. Hoaglin, "How to Detect and
/// Handle Outliers", ASQC 1993, page 11.
const Z_MAX: f64 = 3.5;
/// The median deviation of a normal distribution of standard deviation 1; same source.
const MEDIAN_DEVIATION: f64 = 0.6745;
/// The mean deviation of the same: sqrt(2 / pi).
const MEAN_DEVIATION: f64 = 0.797_884_6;
/// Deviations below this part of the largest value are rounding.
const ROUNDING: f64 = 1e-9;
/// The two-sided 5 % point of the normal distribution.
const Z_95: f64 = 1.96;

/// The middle value; of an even count the mean of the two in the middle. Reorders; O(n).
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (low, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *middle;
    let lower = low.iter().copied().max_by(f64::total_cmp);
    Some(match lower {
        // Halved first: the sum of two large values could overflow.
        Some(lower) if even => lower / 2.0 + upper / 2.0,
        _ => upper,
    })
}

/// The mean, summed in order.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The line of the median slope over all pairs, and of the median of what remains (H. Theil 1950;
/// P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63, 1968).
/// `x` grows. None of fewer than two points; `slopes` is room to work in.
pub(super) fn line(points: &[(f64, f64)], slopes: &mut Vec<f64>) -> Option<Line> {
    slopes.clear();
    let mut score = 0i64;
    for (i, a) in points.iter().enumerate() {
        for b in &points[i + 1..] {
            slopes.push((b.1 - a.1) / (b.0 - a.0));
            score += i64::from(b.1 > a.1) - i64::from(b.1 < a.1);
        }
    }
    let slope = median(slopes)?;
    let mut rests: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let intercept = median(&mut rests)?;
    let course = course(points, score);
    Some(Line {
        slope,
        intercept,
        course,
    })
}

/// Whether a series rises or falls more surely than chance would have it, at 5 %: the test of H. B.
/// Mann (Econometrica 13, 1945) and M. G. Kendall, with its correction for equal values. `score` is
/// the count of rising pairs less that of falling ones. Fewer than five values are always flat.
fn course(points: &[(f64, f64)], score: i64) -> Course {
    let term = |n: usize| {
        let n = n as f64;
        n * (n - 1.0) * (2.0 * n + 5.0)
    };
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.sort_unstable_by(f64::total_cmp);
    let equal = values.chunk_by(|a, b| a == b).map(|run| term(run.len()));
    let variance = (term(values.len()) - equal.sum::<f64>()) / 18.0;
    // Continuity: the score moves in steps of two.
    let z = (score.abs() - 1) as f64 / variance.sqrt();
    // All alike there is no variance, and z is no number: flat.
    match z > Z_95 {
        true if score > 0 => Course::Rising,
        true => Course::Falling,
        false => Course::Flat,
    }
}

/// Places of the values whose modified z-score is over 3.5. Where more than half are alike, so that
/// their median deviation is 0, the mean deviation stands for it. `largest` is the size of the
/// values that these are what remains of.
pub(super) fn outliers(rests: &[f64], largest: f64) -> Vec<usize> {
    let middle = median(&mut rests.to_vec());
    let Some(middle) = middle.filter(|_| rests.len() >= OUTLIER_SAMPLES_MIN) else {
        return Vec::new();
    };
    let deviations: Vec<f64> = rests.iter().map(|rest| (rest - middle).abs()).collect();
    let noise = largest * ROUNDING;
    let scale = match median(&mut deviations.clone()) {
        Some(median) if median > noise => median / MEDIAN_DEVIATION,
        _ => mean(deviations.iter().copied()).unwrap_or(0.0) / MEAN_DEVIATION,
    };
    // All alike, or all but rounding.
    let far = |&(_, deviation): &(usize, &f64)| scale > noise && *deviation > Z_MAX * scale;
    let places = deviations.iter().enumerate().filter(far);
    places.map(|(place, _)| place).collect()
}
