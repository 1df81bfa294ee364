//! Lesions that cannot be true.

use super::SIZE;
use super::study::{Plane, done, report, series, sphere};
use hilum::lesion::Lesion;
use hilum::measure::Measurement;
use hilum::report::{Error, encode};

fn refusal(change: impl FnOnce(&mut Lesion, &mut Measurement)) -> Error {
    let series = series(1, Plane::Axial, SIZE);
    let (mut lesion, mut measurement) = sphere(&series, [5, 16, 12], 3.0);
    change(&mut lesion, &mut measurement);
    encode(&report(vec![done(&series, vec![(lesion, measurement)])])).expect_err("refused")
}

#[test]
fn lesions_that_cannot_be_true_are_refused() {
    assert_eq!(
        refusal(|_, m| m.mean_hu = Some(f64::NAN)).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|_, m| m.axis_slice = 12).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.confidence = 1.5).code(),
        "measurement-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.inside.fill(false)).code(),
        "lesion-mask-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.origin[2] += 25).code(),
        "lesion-mask-invalid"
    );
    assert_eq!(
        refusal(|l, _| l.mask.inside.truncate(3)).code(),
        "lesion-mask-invalid"
    );
}
