//! The arithmetic of Winograd convolution F(4×4, 3×3): squares of 4 × 4 outputs from 6 × 6 inputs with 36 products, where
//! direct convolution takes 144.
//!
//! Source: Lavin and Gray, CVPR 2016. The points of interpolation are 0, ±√½, ±√2 and ∞ instead of 0, ±1, ±2 and ∞: the
//! factors stay nearer to 1, and rounding with them.

use super::simd::Simd;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Outputs of a square along each axis.
pub(super) const SQUARE: usize = 4;
/// Inputs that a square needs along each axis.
pub(super) const SPAN: usize = SQUARE + 2;
/// Products of a square, each a value of the transformed input times one of the transformed weights.
pub(super) const PRODUCTS: usize = SPAN * SPAN;

/// Three taps along one axis, transformed.
fn spread_taps([a, b, c]: [f64; 3]) -> [f64; SPAN] {
    let at = |point: f64, scale: f64| (a + point * b + point * point * c) / scale;
    let [near, far] = [std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2];
    [
        a,
        at(near, -1.5),
        at(-near, -1.5),
        at(far, 6.0),
        at(-far, 6.0),
        c,
    ]
}

/// The 3 × 3 taps `tap(y, x)` of one channel pair, transformed; in `f64`, so that rounding to `f32` is all that is lost.
pub(super) fn taps(tap: impl Fn(usize, usize) -> f64) -> [f64; PRODUCTS] {
    let rows = [0, 1, 2].map(|y| spread_taps([0, 1, 2].map(|x| tap(y, x))));
    let mut products = [0.0; PRODUCTS];
    for x in 0..SPAN {
        let column = spread_taps([0, 1, 2].map(|y| rows[y][x]));
        for (y, value) in column.into_iter().enumerate() {
            products[y * SPAN + x] = value;
        }
    }
    products
}

/// Inputs along one axis, transformed.
#[inline(always)]
pub(super) fn inputs<S: Simd>(simd: S, d: [S::Block; SPAN]) -> [S::Block; SPAN] {
    let (even_near, odd_near) = (times(simd, -2.0, d[2], d[4]), times(simd, -2.0, d[1], d[3]));
    let (even_far, odd_far) = (times(simd, -0.5, d[2], d[4]), times(simd, -0.5, d[1], d[3]));
    [
        simd.add(d[4], times(simd, -2.5, d[2], d[0])),
        times(simd, FRAC_1_SQRT_2, odd_near, even_near),
        times(simd, -FRAC_1_SQRT_2, odd_near, even_near),
        times(simd, SQRT_2, odd_far, even_far),
        times(simd, -SQRT_2, odd_far, even_far),
        simd.add(d[5], times(simd, -2.5, d[3], d[1])),
    ]
}

/// `factor * a + b`; no closure, see `run` in `task.rs`.
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, a: S::Block, b: S::Block) -> S::Block {
    simd.mul_add(simd.splat(factor), a, b)
}

/// Outputs along one axis from sums of products.
#[inline(always)]
pub(super) fn outputs<S: Simd>(simd: S, m: [S::Block; SPAN]) -> [S::Block; SQUARE] {
    let (even_near, odd_near) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    let (even_far, odd_far) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
    let halved = simd.mul(simd.splat(0.5), even_near);
    let scaled = simd.mul(simd.splat(FRAC_1_SQRT_2), odd_near);
    [
        simd.add(simd.add(m[0], even_near), even_far),
        times(simd, SQRT_2, odd_far, scaled),
        times(simd, 2.0, even_far, halved),
        times(
            simd,
            2.0 * SQRT_2,
            odd_far,
            times(simd, 0.5 * FRAC_1_SQRT_2, odd_near, m[5]),
        ),
    ]
}
