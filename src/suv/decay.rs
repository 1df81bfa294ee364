//! Radioactive decay: what is left of a dose, and what a frame loses while it counts.
//!
//! Source: PS3.3 C.8.9.4.1.5 (Frame Reference Time); IBSI's manual of SUV computation (oncoray/suv_computation).

use std::f64::consts::LN_2;

/// A nuclide: its code as SNOMED CT and as its former identifier (PS3.16 CID 4020), and its half-life, s.
///
/// Half-lives: European Pharmacopoeia 5.7 (NNDC) for F-18, N-13 and O-15; NNDC NuDat 3 for C-11 and Ga-68; to three digits
/// J Nucl Med 63:649, table 3, for Cu-64, Zr-89 and I-124. Others are not guessed.
const HALF_LIVES: [([&str; 2], f64); 8] = [
    (["77004003", "C-111A1"], 6586.2),
    (["40565003", "C-105A1"], 1221.8),
    (["21576001", "C-107A1"], 597.9),
    (["129504001", "C-B1038"], 122.24),
    (["35337001", "C-131A3"], 4062.6),
    (["3932008", "C-127A2"], 45_720.0),
    (["63360001", "C-168A4"], 282_240.0),
    (["40937006", "C-114A5"], 360_720.0),
];

/// Half-life of a radionuclide by its code, s; none for a code that is not listed.
pub(super) fn half_life_s(code: &str) -> Option<f64> {
    let found = HALF_LIVES.iter().find(|(codes, _)| codes.contains(&code));
    found.map(|(_, half_life_s)| *half_life_s)
}

/// Share of an activity that is left after some time: `e^(-λt)`.
pub(super) fn remaining(half_life_s: f64, elapsed_s: f64) -> f64 {
    (-elapsed_s / half_life_s).exp2()
}

/// Activity at the start of a frame over its mean during the frame: `λT / (1 - e^(-λT))`.
pub(super) fn frame_loss(half_life_s: f64, frame_s: f64) -> f64 {
    let decays = LN_2 * frame_s / half_life_s;
    if decays.abs() < f64::EPSILON {
        return 1.0;
    }
    decays / -(-decays).exp_m1()
}

/// Seconds into a frame at which the activity is its mean over the frame: `ln(λT / (1 - e^(-λT))) / λ`.
pub(super) fn average_time_s(half_life_s: f64, frame_s: f64) -> f64 {
    frame_loss(half_life_s, frame_s).ln() * half_life_s / LN_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const F18_S: f64 = 6586.2;

    #[test]
    fn an_hour_of_fluorine_leaves_what_the_published_vector_says() {
        let left_mbq = 350.0 * remaining(F18_S, 3600.0);
        assert!((left_mbq - 239.6215).abs() < 5e-5, "{left_mbq}");
    }

    #[test]
    fn two_minutes_of_fluorine_average_just_before_their_middle() {
        let average_s = average_time_s(F18_S, 120.0);
        // The vector was rounded up; exactly it is 59.936855.
        assert!((average_s - 59.936_86).abs() < 1e-5, "{average_s}");
    }

    #[test]
    fn codes_of_both_schemes_name_a_nuclide_and_unknown_ones_none() {
        assert_eq!(half_life_s("C-111A1"), half_life_s("77004003"));
        assert_eq!(half_life_s("C-131A1"), None, "gallium-66");
    }

    proptest! {
        #[test]
        fn a_frame_loses_nothing_as_it_gets_short(half_life_s in 60.0..1e6_f64, share in 1e-12..1e-6_f64) {
            let frame_s = half_life_s * share;
            prop_assert!((frame_loss(half_life_s, frame_s) - 1.0).abs() < 1e-6);
            prop_assert!((average_time_s(half_life_s, frame_s) - frame_s / 2.0).abs() < 1e-4 * half_life_s);
        }

        #[test]
        fn decay_over_two_spans_is_decay_over_their_sum(a in 0.0..1e5_f64, b in 0.0..1e5_f64) {
            let both = remaining(F18_S, a) * remaining(F18_S, b);
            prop_assert!((both / remaining(F18_S, a + b) - 1.0).abs() < 1e-9);
        }
    }
}
