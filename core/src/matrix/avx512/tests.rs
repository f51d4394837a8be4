use super::*;
use crate::matrix::definition::{MARGIN, check};

#[test]
fn every_height_and_width_gives_the_definition() {
    if !available() {
        return;
    }
    for m in 1..=2 * ROWS + 1 {
        for n in [1, 4, 5, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 64, 70] {
            check::<f32>(product, m, 3, n);
            check::<f64>(product, m, 3, n);
        }
    }
}

#[test]
fn copies_give_the_definition() {
    if !available() {
        return;
    }
    // Deeper than one pass, wider than one, rows that collide, a right side worth a copy, shallow
    // with rows of the result that collide.
    for (m, k, n) in [
        (15, 1300, 40),
        (3, 20, 2100),
        (40, 256, 100),
        (65, 300, 130),
        (30, 512, 512),
        (20, 30, 512 - MARGIN),
        (20, 30, 1024 - MARGIN),
        (1, 1, 1),
    ] {
        check::<f32>(product, m, k, n);
        check::<f64>(product, m, k, n);
    }
}

#[test]
fn rows_of_a_copy_never_share_a_set() {
    for k in 1..=1024 {
        let none = (std::ptr::null(), 1, 2);
        let plan = Plan::new::<F32x16>(Shape { m: 14, k, n: 14 }, none, none);
        let lines = plan.left_stride * size_of::<f32>() / LINE;
        assert_eq!(
            (lines % 2, plan.left_stride >= plan.depth),
            (1, true),
            "{k}"
        );
    }
}
