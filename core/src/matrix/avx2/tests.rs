use super::*;
use crate::matrix::definition::check;

/// In place as far as that is possible.
unsafe fn thin_or_copied<T: Lanes>(
    shape: Shape,
    c: (*mut T, usize),
    a: Strided<T>,
    b: Strided<T>,
    accumulate: bool,
) {
    let product = match a.2 {
        1 => thin::product::<T>,
        _ => copied_product::<T>,
    };
    // SAFETY: the caller's contract.
    unsafe { product(shape, c, a, b, accumulate) };
}

fn check_both(m: usize, k: usize, n: usize) {
    check::<f32>(copied_product, m, k, n);
    check::<f64>(copied_product, m, k, n);
    check::<f32>(thin_or_copied, m, k, n);
    check::<f64>(thin_or_copied, m, k, n);
}

#[test]
fn every_height_and_width_gives_the_definition() {
    if !available() {
        return;
    }
    for m in 1..=2 * ROWS + 1 {
        for n in [1, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33] {
            check_both(m, 6, n);
        }
    }
}

#[test]
fn several_slices_and_chunks_give_the_definition() {
    if !available() {
        return;
    }
    // Deeper than one slice, wider than one copy, taller than one chunk.
    for (m, k, n) in [
        (13, 900, 20),
        (3, 5, WIDTH + 70),
        (301, 30, 17),
        (160, 400, 50),
    ] {
        check_both(m, k, n);
    }
}
