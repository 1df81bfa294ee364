//! Multi-frame objects made by hand: the same volume as the classic series, in whatever order and encoding.

use super::file::DicomFile;
use super::fixture::{
    COLUMNS, ROWS, empty, file_object, item, only_refusal, only_series, read, sequence, slice,
    with, without, write, write_as,
};
use super::{Series, load};
use crate::volume::StoredVolume;
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

const MAX_VOXELS: u64 = 1 << 20;
/// Explicit VR Big Endian, retired but in archives.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The functional group of a few attributes of a classic slice.
fn group(of: &InMemDicomObject, tag: Tag, inner: &[Tag]) -> DataElement<InMemDicomObject> {
    let elements = inner.iter().map(|t| of.element(*t).unwrap().clone());
    sequence(tag, vec![InMemDicomObject::from_element_iter(elements)])
}

/// Enhanced CT of some slices, one a frame, in this order; `number` makes its SOP Instance UID.
fn enhanced(number: u16, slices: &[InMemDicomObject]) -> InMemDicomObject {
    let first = &slices[0];
    let frame = |s: &InMemDicomObject| {
        let index = s.get(tags::TEMPORAL_POSITION_INDEX).cloned();
        let content = InMemDicomObject::from_element_iter(index);
        let position = [tags::IMAGE_POSITION_PATIENT];
        InMemDicomObject::from_element_iter([
            sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]),
            group(s, tags::PLANE_POSITION_SEQUENCE, &position),
        ])
    };
    let orientation = [tags::IMAGE_ORIENTATION_PATIENT];
    let rescale = [tags::RESCALE_INTERCEPT, tags::RESCALE_SLOPE];
    let shared = InMemDicomObject::from_element_iter([
        group(first, tags::PLANE_ORIENTATION_SEQUENCE, &orientation),
        group(first, tags::PIXEL_MEASURES_SEQUENCE, &[tags::PIXEL_SPACING]),
        group(first, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, &rescale),
    ]);
    let mut object = first.clone();
    for tag in [tags::IMAGE_POSITION_PATIENT, tags::PIXEL_SPACING] {
        object = without(object, tag);
    }
    for tag in [orientation[0], rescale[0], rescale[1]] {
        object = without(object, tag);
    }
    let class = uids::ENHANCED_CT_IMAGE_STORAGE;
    object = with(object, tags::SOP_CLASS_UID, VR::UI, class);
    let uid = format!("1.2.3.77.{number}");
    object = with(object, tags::SOP_INSTANCE_UID, VR::UI, uid);
    let kind = "ORIGINAL\\PRIMARY\\VOLUME\\NONE";
    object = with(object, tags::IMAGE_TYPE, VR::CS, kind);
    let count = slices.len().to_string();
    object = with(object, tags::NUMBER_OF_FRAMES, VR::IS, count);
    let frames = slices.iter().map(frame).collect();
    object.put(sequence(
        tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
        vec![shared],
    ));
    object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames));
    let samples: Vec<u16> = slices.iter().flat_map(samples_of).collect();
    let value = PrimitiveValue::U16(samples.into());
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, value));
    object
}

fn samples_of(object: &InMemDicomObject) -> Vec<u16> {
    let element = object.element(tags::PIXEL_DATA).unwrap();
    element.to_multi_int().unwrap()
}

fn phase(object: InMemDicomObject, index: u32) -> InMemDicomObject {
    with(object, tags::TEMPORAL_POSITION_INDEX, VR::UL, index)
}

fn volume(series: &Series) -> StoredVolume {
    load(series, MAX_VOXELS, None).unwrap()
}

fn classic(count: u16) -> StoredVolume {
    let folder = tempdir().unwrap();
    for z in 0..count {
        write(folder.path(), &format!("{z}.dcm"), slice(z));
    }
    volume(&only_series(folder.path()))
}

/// One image as RLE Lossless: two segments, high bytes first, of literal runs (PS3.5 annex G).
fn rle(samples: &[u16]) -> Vec<u8> {
    let mut segments = [Vec::new(), Vec::new()];
    for (segment, shift) in segments.iter_mut().zip([8, 0]) {
        for run in samples.chunks(128) {
            segment.push(u8::try_from(run.len() - 1).unwrap());
            segment.extend(run.iter().map(|s| s.to_le_bytes()[shift / 8]));
        }
        segment.resize(segment.len().next_multiple_of(2), 0x80);
    }
    let mut bytes = Vec::new();
    let second = 64 + u32::try_from(segments[0].len()).unwrap();
    for word in [2, 64, second].into_iter().chain([0; 13]) {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(segments.concat());
    bytes
}

fn encapsulated(
    mut object: InMemDicomObject,
    table: Vec<u32>,
    fragments: Vec<Vec<u8>>,
) -> InMemDicomObject {
    let fragments = PixelFragmentSequence::new(table, fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    object
}

#[test]
fn frames_in_any_order_are_the_volume_of_the_classic_slices() {
    let folder = tempdir().unwrap();
    let frames = [slice(2), slice(0), slice(3), slice(1)];
    write(folder.path(), "all.dcm", enhanced(1, &frames));
    let series = only_series(folder.path());
    let numbers: Vec<_> = series.instances.iter().map(|i| i.frame_number).collect();
    assert_eq!(numbers, [Some(2), Some(4), Some(1), Some(3)]);
    assert_eq!(volume(&series), classic(4));
}

#[test]
fn frames_in_big_endian_and_rle_are_the_same_volume() {
    let frames = [slice(1), slice(0), slice(2)];
    let object = enhanced(1, &frames);
    let rle_frames: Vec<Vec<u8>> = frames.iter().map(|f| rle(&samples_of(f))).collect();
    let with_rle = encapsulated(object.clone(), Vec::new(), rle_frames);
    for (object, syntax) in [(object, BIG_ENDIAN), (with_rle, uids::RLE_LOSSLESS)] {
        let folder = tempdir().unwrap();
        write_as(folder.path(), "all.dcm", object, syntax);
        assert_eq!(volume(&only_series(folder.path())), classic(3), "{syntax}");
    }
}

/// The object with fragments and an Extended Offset Table instead of a basic one.
fn with_extended_table(
    object: InMemDicomObject,
    offsets: &[u64],
    fragments: Vec<Vec<u8>>,
) -> InMemDicomObject {
    let offsets = PrimitiveValue::U64(offsets.into());
    let object = encapsulated(object, Vec::new(), fragments);
    with(object, tags::EXTENDED_OFFSET_TABLE, VR::OV, offsets)
}

#[test]
fn an_extended_offset_table_tells_fragments_of_frames_apart() {
    let frames = [slice(0), slice(1), slice(2)];
    let codestreams = frames.each_ref().map(|f| rle(&samples_of(f)));
    let [first, second, third] = codestreams.clone();
    let (head, tail) = second.split_at(second.len() / 4 * 2);
    let parts = vec![first.clone(), head.to_vec(), tail.to_vec(), third];
    let second_at = 8 + first.len() as u64;
    let third_at = second_at + 16 + second.len() as u64;
    let read_with = |offsets: &[u64], fragments: Vec<Vec<u8>>| {
        let folder = tempdir().unwrap();
        let object = with_extended_table(enhanced(1, &frames), offsets, fragments);
        write_as(folder.path(), "all.dcm", object, uids::RLE_LOSSLESS);
        load(&only_series(folder.path()), MAX_VOXELS, None)
    };
    let right = [0, second_at, third_at];
    assert_eq!(read_with(&right, parts.clone()), Ok(classic(3)));
    assert_eq!(read_with(&right[..1], codestreams.to_vec()), Ok(classic(3)));
    let far = [0, second_at, u64::MAX];
    for wrong in [&far[..], &[0, second_at], &[]] {
        let error = read_with(wrong, parts.clone()).unwrap_err();
        assert_eq!(error.code(), "frame-fragments", "{wrong:?}");
    }
}

fn enhanced_pet(frames: &[InMemDicomObject]) -> InMemDicomObject {
    let class = uids::ENHANCED_PET_IMAGE_STORAGE;
    let object = with(enhanced(1, frames), tags::SOP_CLASS_UID, VR::UI, class);
    with(object, tags::MODALITY, VR::CS, "PT")
}

#[test]
fn frames_of_an_enhanced_pet_have_its_units() {
    let object = enhanced_pet(&[slice(0), slice(1)]);
    let folder = tempdir().unwrap();
    let object = with(object, tags::UNITS, VR::CS, "BQML");
    write(folder.path(), "all.dcm", object);
    let series = only_series(folder.path());
    let units = series.instances.iter().map(|i| i.units.as_deref());
    assert!(units.eq([Some("BQML"); 2]));
}

#[test]
fn a_spect_in_the_class_of_enhanced_pet_is_refused() {
    let technetium = with(empty(), tags::CODE_VALUE, VR::SH, "C-163A8");
    let tracer = [item(tags::RADIONUCLIDE_CODE_SEQUENCE, technetium)];
    let tracer = InMemDicomObject::from_element_iter(tracer);
    let mut object = enhanced_pet(&[slice(0), slice(1)]);
    object.put(item(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, tracer));
    let folder = tempdir().unwrap();
    write(folder.path(), "all.dcm", object);
    assert_eq!(only_refusal(folder.path()), "single-photon");
}

#[test]
fn enhanced_pet_keeps_a_rescale_a_frame() {
    let slope = |z: u16| {
        with(
            slice(z),
            tags::RESCALE_SLOPE,
            VR::DS,
            f64::from(z + 2).to_string(),
        )
    };
    let frames = [slope(0), slope(1), slope(2)];
    let mut object = enhanced_pet(&frames);
    let tag = tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE;
    let mut groups = object.element(tag).unwrap().items().unwrap().to_vec();
    let inner = [tags::RESCALE_INTERCEPT, tags::RESCALE_SLOPE];
    for (group_of, frame) in groups.iter_mut().zip(&frames) {
        group_of.put(group(
            frame,
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            &inner,
        ));
    }
    object.put(sequence(tag, groups));
    let folder = tempdir().unwrap();
    write(folder.path(), "all.dcm", object);
    let series = only_series(folder.path());
    assert!(series.instances.iter().all(|i| i.modality == "PT"));
    let slopes: Vec<f32> = volume(&series).rescale.iter().map(|r| r.slope).collect();
    assert_eq!(slopes, [2.0, 3.0, 4.0]);
    assert_eq!(volume(&series).samples, classic(3).samples);
}

#[test]
fn frame_anatomy_is_read_as_the_body_part_examined() {
    let part = |value: &str, meaning: &str| {
        let region = with(empty(), tags::CODE_VALUE, VR::SH, value);
        let region = with(region, tags::CODE_MEANING, VR::LO, meaning);
        let region = sequence(tags::ANATOMIC_REGION_SEQUENCE, vec![region]);
        let anatomy = vec![InMemDicomObject::from_element_iter([region])];
        let mut object = enhanced(1, &[slice(0), slice(1)]);
        let groups = tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE;
        let mut shared = object.element(groups).unwrap().items().unwrap().to_vec();
        shared[0].put(sequence(tags::FRAME_ANATOMY_SEQUENCE, anatomy));
        object.put(sequence(groups, shared));
        let folder = tempdir().unwrap();
        write(folder.path(), "all.dcm", object);
        only_series(folder.path()).instances[1].body_part.clone()
    };
    assert_eq!(part("51185008", "Thorax").as_deref(), Some("CHEST"));
    assert_eq!(part("R-FAB56", "").as_deref(), Some("CHESTABDPELVIS"));
    assert_eq!(part("69536005", "Head").as_deref(), Some("Head"));
    assert_eq!(part("38266002", "").as_deref(), Some("WHOLEBODY"));
}

#[test]
fn a_concatenation_is_one_volume_and_is_refused_when_a_part_is_missing() {
    let part = |number: u16, frames: &[InMemDicomObject]| {
        let object = enhanced(number, frames);
        let object = with(object, tags::CONCATENATION_UID, VR::UI, "1.2.3.78");
        let object = with(object, tags::IN_CONCATENATION_NUMBER, VR::US, number);
        with(object, tags::IN_CONCATENATION_TOTAL_NUMBER, VR::US, 2_u16)
    };
    let folder = tempdir().unwrap();
    write(folder.path(), "1.dcm", part(1, &[slice(0), slice(1)]));
    assert_eq!(only_refusal(folder.path()), "concatenation-incomplete");
    write(folder.path(), "2.dcm", part(2, &[slice(2), slice(3)]));
    let series = only_series(folder.path());
    assert_eq!(volume(&series), classic(4));
    let uid = |z: usize| series.instances[z].sop_instance_uid.as_str();
    assert_eq!([uid(1), uid(2)], ["1.2.3.77.1", "1.2.3.77.2"]);
}

#[test]
fn two_phases_in_one_object_are_two_stacks() {
    let folder = tempdir().unwrap();
    let frames = [(0, 1), (1, 1), (0, 2), (1, 2)].map(|(z, index)| phase(slice(z), index));
    write(folder.path(), "all.dcm", enhanced(1, &frames));
    let inventory = read(folder.path());
    let series = &inventory.studies[0].series;
    let first = |s: &Series| (s.warnings[0].code(), s.instances[0].frame_number);
    let found: Vec<_> = series.iter().map(first).collect();
    let wanted = [("stack-of-series", Some(1)), ("stack-of-series", Some(3))];
    assert_eq!(found, wanted);
    assert_eq!(volume(&series[1]).samples, classic(2).samples);
}

#[test]
fn a_copy_of_the_object_is_dropped_and_a_changed_one_refused() {
    let folder = tempdir().unwrap();
    let object = enhanced(1, &[slice(0), slice(1)]);
    write(folder.path(), "a.dcm", object.clone());
    write(folder.path(), "b.dcm", object.clone());
    let series = only_series(folder.path());
    assert_eq!(series.warnings[0].code(), "instances-left-out");
    let samples = vec![7_u16; usize::from(2 * ROWS * COLUMNS)];
    let value = PrimitiveValue::U16(samples.into());
    let other = with(object, tags::PIXEL_DATA, VR::OW, value);
    write(folder.path(), "b.dcm", other);
    assert_eq!(only_refusal(folder.path()), "conflicting-duplicates");
}

#[test]
fn a_copy_in_another_transfer_syntax_is_dropped_if_its_samples_are_equal() {
    let frames = [slice(0), slice(1), slice(2)];
    let object = enhanced(1, &frames);
    let folder = tempdir().unwrap();
    write(folder.path(), "a.dcm", object.clone());
    write_as(folder.path(), "b.dcm", object.clone(), BIG_ENDIAN);
    let mut codestreams = frames.each_ref().map(|f| rle(&samples_of(f)));
    let write_rle = |codestreams: &[Vec<u8>]| {
        let object = encapsulated(object.clone(), Vec::new(), codestreams.to_vec());
        write_as(folder.path(), "c.dcm", object, uids::RLE_LOSSLESS);
    };
    write_rle(&codestreams);
    let series = only_series(folder.path());
    assert_eq!(series.warnings[0].code(), "instances-left-out");
    assert_eq!(volume(&series), classic(3));
    codestreams.swap(1, 2);
    write_rle(&codestreams);
    assert_eq!(only_refusal(folder.path()), "conflicting-duplicates");
}

#[test]
fn frames_that_do_not_match_their_groups_or_pixels_are_refused() {
    let object = || enhanced(1, &[slice(0), slice(1)]);
    let code = |object| {
        let folder = tempdir().unwrap();
        write(folder.path(), "all.dcm", object);
        only_refusal(folder.path())
    };
    let frames = |count: &str| with(object(), tags::NUMBER_OF_FRAMES, VR::IS, count);
    assert_eq!(code(frames("3")), "bad-value");
    assert_eq!(code(frames("-1")), "bad-value");
    assert_eq!(code(frames("2000000000")), "too-many-frames");
    assert_eq!(
        code(without(object(), tags::NUMBER_OF_FRAMES)),
        "missing-attribute"
    );
    let group = tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE;
    assert_eq!(code(without(object(), group)), "missing-attribute");
    let short = with(
        object(),
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16([0; 24][..].into()),
    );
    assert_eq!(code(short), "pixel-data-length");
    let map = "DERIVED\\PRIMARY\\PERFUSION\\RCBF";
    assert_eq!(
        code(with(object(), tags::IMAGE_TYPE, VR::CS, map)),
        "derived"
    );
}

/// A JPEG-LS image of real data in two frames, its codestream cut into fragments, without an offset table.
#[test]
fn fragmented_frames_without_an_offset_table_are_put_together() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(
        "../shared/data/codecs/CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
    );
    if !path.is_file() {
        eprintln!("SKIPPED: real data are missing, {}", path.display());
        return;
    }
    let mut file = DicomFile::open(&path).unwrap();
    let source = file.object().unwrap();
    let codestream = file.read_fragments().unwrap();
    let (head, tail) = codestream.split_at(codestream.len() / 4 * 2);
    let frames = [0, 1].map(|z| {
        let object = with(
            source.clone(),
            tags::IMAGE_POSITION_PATIENT,
            VR::DS,
            format!("0\\0\\{z}"),
        );
        with(
            object,
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16([0][..].into()),
        )
    });
    let fragments = [head, tail, head, tail].map(<[u8]>::to_vec).to_vec();
    let object = encapsulated(enhanced(1, &frames), Vec::new(), fragments);
    let folder = tempdir().unwrap();
    save(folder.path(), object);
    let found = volume_of(folder.path());
    let (below, above) = found.samples.split_at(found.samples.len() / 2);
    assert!(below == above && below.iter().any(|s| *s != below[0]));
    let opaque = vec![vec![1; 8], vec![2; 8], vec![3; 8]];
    save(
        folder.path(),
        encapsulated(enhanced(1, &frames), Vec::new(), opaque),
    );
    let error = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap_err();
    assert_eq!(error.code(), "frame-fragments");
}

fn save(folder: &Path, object: InMemDicomObject) {
    let path = folder.join("all.dcm");
    let file = file_object(object, uids::JPEGLS_LOSSLESS);
    file.write_to_file(path).unwrap();
}

fn volume_of(folder: &Path) -> StoredVolume {
    volume(&only_series(folder))
}
