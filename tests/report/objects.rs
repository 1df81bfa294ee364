//! What the SR and the SEGs say: compared as text, and with the lesions that they come from.

use super::study::{Plane, STUDY_UID, done, report, series, sphere};
use super::{
    SIZE, coded_values, dicom, dumped, failed, json, localizer, names, schema, sequence, string,
};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use hilum::lesion::{Kind, Lesion, LesionMask};
use hilum::report::encode;
use hilum::warning::Warning;
use proptest::prelude::*;
use std::io::Read;

#[test]
fn sr_of_one_nodule_reads_like_the_template() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    report.warnings.push(Warning::CpuFallback);
    report.left_out.push(localizer());
    let files = encode(&report).expect("encoded");
    assert_eq!(names(&files), ["sr.dcm", "seg.dcm", "findings.json"]);
    insta::assert_snapshot!(dumped(&files, "sr.dcm"));
}

#[test]
fn seg_of_two_nodules_has_a_segment_each() {
    let series = series(1, Plane::Axial, SIZE);
    let lesions = vec![
        sphere(&series, [5, 16, 12], 2.0),
        sphere(&series, [6, 20, 20], 1.0),
    ];
    let files = encode(&report(vec![done(&series, lesions)])).expect("encoded");
    insta::assert_snapshot!(dumped(&files, "seg.dcm"));
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let series = series(1, Plane::Oblique, SIZE);
    let report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    assert_eq!(
        encode(&report).expect("once"),
        encode(&report).expect("twice")
    );
}

#[test]
fn timings_change_the_json_only() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, vec![sphere(&series, [5, 16, 12], 3.0)])]);
    let before = encode(&report).expect("before");
    report.timings_ms.insert("read".into(), 99.0);
    let after = encode(&report).expect("after");
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b);
    assert_eq!(
        changed.map(|(a, _)| a.name.as_str()).collect::<Vec<_>>(),
        ["findings.json"]
    );
}

#[test]
fn the_outcome_is_coded_for_every_mix_of_runs() {
    let series = series(1, Plane::Axial, SIZE);
    let found = || done(&series, vec![sphere(&series, [5, 16, 12], 3.0)]);
    let nothing = || done(&series, Vec::new());
    for (runs, outcome) in [
        (vec![nothing()], "111241"),
        (vec![found()], "111242"),
        (vec![nothing(), failed(&series)], "111243"),
        (vec![found(), failed(&series)], "111244"),
        (vec![failed(&series)], "111245"),
        (Vec::new(), "111245"),
    ] {
        let files = encode(&report(runs)).expect("encoded");
        assert_eq!(coded_values(&dicom(&files, "sr.dcm"), "111017"), [outcome]);
        let has_seg = names(&files).contains(&"seg.dcm");
        assert_eq!(
            has_seg,
            ["111242", "111244"].contains(&outcome),
            "{outcome}"
        );
    }
}

#[test]
fn each_grid_has_its_own_seg() {
    let first = series(1, Plane::Axial, SIZE);
    let second = series(2, Plane::Oblique, SIZE);
    let runs = vec![
        done(
            &first,
            vec![
                sphere(&first, [5, 16, 12], 2.0),
                sphere(&first, [6, 20, 20], 1.0),
            ],
        ),
        done(&second, vec![sphere(&second, [5, 16, 12], 2.0)]),
        done(&first, vec![sphere(&first, [3, 8, 8], 1.0)]),
    ];
    let files = encode(&report(runs)).expect("encoded");
    assert_eq!(
        names(&files),
        ["sr.dcm", "seg-1.dcm", "seg-2.dcm", "findings.json"]
    );
    let numbers = json(&files)["lesions"]
        .as_array()
        .expect("lesions")
        .iter()
        .map(|lesion| (lesion["id"].as_u64(), lesion["segment_number"].as_u64()))
        .collect::<Vec<_>>();
    let want = [(1, 1), (2, 2), (3, 1), (4, 3)].map(|(id, n)| (Some(id), Some(n)));
    assert_eq!(numbers, want);
}

#[test]
fn frames_lie_on_their_source_slices_whatever_the_plane() {
    for plane in [Plane::Axial, Plane::Oblique, Plane::Tilted] {
        let series = series(1, plane, SIZE);
        let files = encode(&report(vec![done(
            &series,
            vec![sphere(&series, [5, 16, 12], 3.0)],
        )]));
        let seg = dicom(&files.expect("encoded"), "seg.dcm");
        let shared = &sequence(&seg, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[0];
        let measures = &sequence(shared, tags::PIXEL_MEASURES_SEQUENCE)[0];
        assert_eq!(string(measures, tags::PIXEL_SPACING), "0.7\\0.75");
        let gap = measures.element(tags::SPACING_BETWEEN_SLICES).expect("gap");
        assert!((gap.to_float64().expect("number") - 2.5).abs() < 1e-9);
        for frame in sequence(&seg, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) {
            let derivation = &sequence(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0];
            let source = &sequence(derivation, tags::SOURCE_IMAGE_SEQUENCE)[0];
            let uid = string(source, tags::REFERENCED_SOP_INSTANCE_UID);
            let instance = series.instances.iter().find(|i| i.sop_instance_uid == uid);
            let plane = &sequence(frame, tags::PLANE_POSITION_SEQUENCE)[0];
            let position = plane
                .element(tags::IMAGE_POSITION_PATIENT)
                .expect("position");
            let position = glam::DVec3::from_slice(&position.to_multi_float64().expect("numbers"));
            let want = instance.expect("a source slice").position_lps_mm;
            assert!(position.distance(want) < 1e-9);
        }
    }
}

/// Lesions of random masks on a small grid, as (origin, size, voxels).
fn random_lesions() -> impl Strategy<Value = ([usize; 3], Vec<LesionMask>)> {
    let grid = [1_usize..5, 1_usize..14, 1_usize..14];
    grid.prop_flat_map(|grid| {
        let mask = grid.map(|n| (0..n).prop_flat_map(move |o| (Just(o), 1..=n - o)));
        let mask = mask.prop_flat_map(|axes| {
            let origin = axes.map(|(origin, _)| origin);
            let size = axes.map(|(_, size)| size);
            let voxels: usize = size.iter().product();
            prop::collection::vec(any::<bool>(), voxels).prop_map(move |mut inside| {
                inside[voxels / 2] = true;
                LesionMask {
                    origin,
                    size,
                    inside,
                }
            })
        });
        (Just(grid), prop::collection::vec(mask, 1..4))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn packed_frames_unpack_to_the_masks((grid, masks) in random_lesions()) {
        let series = series(1, Plane::Axial, grid);
        let lesions = masks.iter().map(|mask| {
            let (_, measurement) = sphere(&series, [0, 0, 0], 1.0);
            (Lesion { kind: Kind::LungNodule, terms: Kind::LungNodule.into(), confidence: 0.5, assessment: None, centre_lps_mm: glam::DVec3::ZERO, mask: mask.clone() }, measurement)
        });
        let files = encode(&report(vec![done(&series, lesions.collect())])).expect("encoded");
        let seg = dicom(&files, "seg.dcm");
        let pixels = seg.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes");
        let mut found = vec![Vec::new(); masks.len()];
        let [_, rows, columns] = grid;
        for (f, frame) in sequence(&seg, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().enumerate() {
            let content = &sequence(frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE)[0];
            let segment: usize = string(content, tags::REFERENCED_SEGMENT_NUMBER).parse().expect("number");
            let derivation = &sequence(frame, tags::DERIVATION_IMAGE_SEQUENCE)[0];
            let source = string(&sequence(derivation, tags::SOURCE_IMAGE_SEQUENCE)[0], tags::REFERENCED_SOP_INSTANCE_UID);
            let z = series.instances.iter().position(|i| i.sop_instance_uid == source).expect("slice");
            for pixel in 0..rows * columns {
                let bit = f * rows * columns + pixel;
                if pixels[bit / 8] >> (bit % 8) & 1 == 1 {
                    found[segment - 1].push([z, pixel / columns, pixel % columns]);
                }
            }
        }
        let want: Vec<Vec<_>> = masks.iter().map(|mask| mask.voxels().collect()).collect();
        prop_assert_eq!(found, want);
    }
}

/// Every Referenced Frame Number below a data set.
fn frame_numbers(object: &InMemDicomObject) -> Vec<String> {
    let mut found = Vec::new();
    for element in object {
        if element.header().tag == tags::REFERENCED_FRAME_NUMBER {
            found.push(string(object, tags::REFERENCED_FRAME_NUMBER));
        }
        for item in element.items().unwrap_or_default() {
            found.extend(frame_numbers(item));
        }
    }
    found
}

#[test]
fn slices_of_a_multi_frame_object_are_referenced_by_object_and_frame() {
    let mut series = series(1, Plane::Axial, SIZE);
    let count = u32::try_from(SIZE[0]).expect("few slices");
    for (frame, instance) in (1..).zip(&mut series.instances) {
        instance.sop_class_uid = uids::ENHANCED_CT_IMAGE_STORAGE.into();
        instance.sop_instance_uid = format!("{STUDY_UID}.1.1");
        // Frames may be stored from the head down.
        instance.frame_number = Some(count + 1 - frame);
    }
    let ball = sphere(&series, [5, 16, 13], 4.0);
    let slices: Vec<usize> = (0..SIZE[0])
        .filter(|z| ball.0.mask.voxels().any(|[at, _, _]| at == *z))
        .collect();
    let wanted: Vec<String> = slices.iter().map(|z| (SIZE[0] - z).to_string()).collect();
    let axes = (SIZE[0] - ball.1.axis_slice) as u64;
    let files = encode(&report(vec![done(&series, vec![ball])])).expect("encoded");
    let seg = dicom(&files, "seg.dcm");
    assert_eq!(frame_numbers(&seg), wanted);
    let referenced = &sequence(&seg, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(
        sequence(referenced, tags::REFERENCED_INSTANCE_SEQUENCE).len(),
        1
    );
    let sr = dicom(&files, "sr.dcm");
    let evidence = &sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)[0];
    let source = &sequence(evidence, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(sequence(source, tags::REFERENCED_SOP_SEQUENCE).len(), 1);
    let in_sr = frame_numbers(&sr);
    assert_eq!(in_sr[..slices.len()], wanted[..]);
    assert_eq!(in_sr[slices.len()..], [axes.to_string(), axes.to_string()]);
    let json = json(&files);
    assert_eq!(json["lesions"][0]["frame_number"], axes);
    assert!(schema().is_valid(&json));
}

#[test]
fn two_stacks_of_one_series_are_one_series_in_the_evidence() {
    let first = series(1, Plane::Axial, SIZE);
    let mut second = series(1, Plane::Oblique, SIZE);
    for instance in &mut second.instances {
        instance.sop_instance_uid += ".7";
    }
    let runs = vec![done(&first, Vec::new()), done(&second, Vec::new())];
    let files = encode(&report(runs)).expect("encoded");
    let sr = dicom(&files, "sr.dcm");
    let evidence = &sequence(&sr, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE)[0];
    let listed = sequence(evidence, tags::REFERENCED_SERIES_SEQUENCE);
    assert_eq!(listed.len(), 1);
    let objects = sequence(&listed[0], tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(objects.len(), 2 * SIZE[0]);
}

#[test]
fn a_label_map_holds_the_voxels_of_each_segment() {
    let series = series(1, Plane::Tilted, SIZE);
    let lesions = vec![
        sphere(&series, [4, 12, 11], 3.0),
        sphere(&series, [9, 20, 18], 4.0),
    ];
    let mut report = report(vec![done(&series, lesions)]);
    report.outputs.label_maps = true;
    let files = encode(&report).expect("encoded");
    assert_eq!(
        names(&files),
        ["sr.dcm", "seg.dcm", "labels.nii.gz", "findings.json"]
    );
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&files[2].bytes[..])
        .read_to_end(&mut bytes)
        .expect("gzip");
    let label = |[z, y, x]: [usize; 3]| {
        let at = 352 + 2 * ((z * SIZE[1] + y) * SIZE[2] + x);
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    };
    let lesions = &report.runs[0].lesions;
    for (number, (lesion, _)) in (1..).zip(lesions) {
        assert!(lesion.mask.voxels().all(|voxel| label(voxel) == number));
    }
    let labelled = bytes[352..]
        .chunks(2)
        .filter(|pair| *pair != [0, 0])
        .count();
    let inside: usize = lesions.iter().map(|(lesion, _)| lesion.mask.count()).sum();
    assert_eq!(labelled, inside);
}

#[test]
fn a_source_that_is_no_dicom_gets_no_dicom() {
    let series = series(1, Plane::Axial, SIZE);
    let mut report = report(vec![done(&series, Vec::new())]);
    report.source_header = hilum::report::no_header();
    report.outputs.dicom = false;
    report.outputs.label_maps = true;
    let files = encode(&report).expect("encoded");
    assert_eq!(names(&files), ["labels.nii.gz", "findings.json"]);
}
