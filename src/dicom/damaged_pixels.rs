//! What wrong and damaged pixel data do: right samples or a coded refusal.

use super::file::guarded;
use super::fixture::{
    COLUMNS, MAX_VOXELS, ROWS, folder_of, only_refusal, only_series, slice, with, without, write_as,
};
use super::{Error, load};
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::sync::atomic::AtomicBool;
use tempfile::tempdir;

const RLE: &str = uids::RLE_LOSSLESS;

fn encapsulated(object: InMemDicomObject, fragment: Vec<u8>) -> InMemDicomObject {
    let mut object = without(object, tags::PIXEL_DATA);
    let fragments = PixelFragmentSequence::new(vec![], vec![fragment]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    object
}

#[test]
fn samples_are_the_same_in_every_uncompressed_syntax() {
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ] {
        let folder = tempdir().unwrap();
        for z in 0..2 {
            write_as(folder.path(), &format!("{z}.dcm"), slice(z), syntax);
        }
        let volume = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap();
        let expected: Vec<u16> = (0..24).chain(100..124).collect();
        assert_eq!(volume.samples, expected, "{syntax}");
        assert!((volume.rescaled([1, 0, 2]) - (102.0 - 1024.0)).abs() < 1e-3);
    }
}

#[test]
fn signed_twelve_bit_samples_lose_their_overlay_bits() {
    let object = |z| {
        let object = with(slice(z), tags::PIXEL_REPRESENTATION, VR::US, 1_u16);
        let object = with(object, tags::BITS_STORED, VR::US, 12_u16);
        let object = with(object, tags::HIGH_BIT, VR::US, 11_u16);
        let samples = vec![0xf005_u16; usize::from(ROWS * COLUMNS - 1)];
        let samples = [vec![0x0fff], samples].concat();
        with(
            object,
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(samples.into()),
        )
    };
    let folder = folder_of([object(0), object(1)]);
    let volume = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap();
    assert_eq!((volume.stored(0), volume.stored(1)), (-1, 5));
}

#[test]
fn eight_bit_samples_are_widened() {
    let object = |z| {
        let object = with(slice(z), tags::BITS_ALLOCATED, VR::US, 8_u16);
        let object = with(object, tags::BITS_STORED, VR::US, 8_u16);
        let object = with(object, tags::HIGH_BIT, VR::US, 7_u16);
        let object = with(object, tags::ROWS, VR::US, 1_u16);
        let object = with(object, tags::COLUMNS, VR::US, 3_u16);
        with(
            object,
            tags::PIXEL_DATA,
            VR::OB,
            PrimitiveValue::U8(vec![1, 2, 255, 0].into()),
        )
    };
    let folder = folder_of([object(0), object(1)]);
    let volume = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap();
    assert_eq!(volume.samples, [1, 2, 255, 1, 2, 255]);
}

#[test]
fn pixel_data_of_another_length_than_declared_are_refused() {
    let of_length = |n: usize| {
        let samples = PrimitiveValue::U16(vec![0; n].into());
        folder_of([with(slice(0), tags::PIXEL_DATA, VR::OW, samples)])
    };
    assert_eq!(only_refusal(of_length(23).path()), "pixel-data-length");
    assert_eq!(only_refusal(of_length(48).path()), "pixel-data-length");
    let none = folder_of([without(slice(0), tags::PIXEL_DATA)]);
    assert_eq!(only_refusal(none.path()), "missing-attribute");
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let absurd = |z| {
        let object = with(slice(z), tags::ROWS, VR::US, 65_535_u16);
        with(object, tags::COLUMNS, VR::US, 65_535_u16)
    };
    assert_eq!(
        only_refusal(folder_of([absurd(0)]).path()),
        "pixel-data-length"
    );
    let folder = tempdir().unwrap();
    for z in 0..2 {
        let object = encapsulated(absurd(z), vec![0; 64]);
        write_as(folder.path(), &format!("{z}.dcm"), object, RLE);
    }
    let error = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap_err();
    assert_eq!(error.code(), "too-many-voxels");
}

#[test]
fn a_compressed_image_of_another_size_is_refused_before_it_is_decoded() {
    let frame_header = [
        0xff, 0xd8, 0xff, 0xc3, 0, 11, 16, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0, 0,
    ];
    let folder = tempdir().unwrap();
    for z in 0..2 {
        let object = encapsulated(slice(z), frame_header.to_vec());
        write_as(
            folder.path(),
            &format!("{z}.dcm"),
            object,
            uids::JPEG_LOSSLESS_SV1,
        );
    }
    let error = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap_err();
    assert_eq!(error.code(), "codestream");
}

#[test]
fn a_transfer_syntax_without_a_decoder_is_left_out_before_loading() {
    let folder = tempdir().unwrap();
    let object = encapsulated(slice(0), vec![0; 64]);
    write_as(folder.path(), "0.dcm", object, uids::MPEG2MPML);
    assert_eq!(only_refusal(folder.path()), "transfer-syntax");
}

#[test]
fn damaged_segments_of_rle_are_refused() {
    // One segment where two are needed, then two that end too early.
    let mut too_short = [2_u32, 64, 66]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect::<Vec<u8>>();
    too_short.resize(64, 0);
    too_short.extend([0, 1, 0, 2]);
    for fragment in [vec![0; 64], too_short] {
        let folder = tempdir().unwrap();
        for z in 0..2 {
            let object = encapsulated(slice(z), fragment.clone());
            write_as(folder.path(), &format!("{z}.dcm"), object, RLE);
        }
        let error = load(&only_series(folder.path()), MAX_VOXELS, None).unwrap_err();
        assert_eq!(error.code(), "decode");
    }
}

#[test]
fn a_decoder_that_panics_is_a_coded_error() {
    let panicked = guarded("1.2.3", || -> Result<(), Error> { panic!("hostile bytes") });
    assert_eq!(panicked.unwrap_err().code(), "decoder-panicked");
}

#[test]
fn a_set_flag_stops_the_decoding() {
    let folder = folder_of([slice(0), slice(1)]);
    let stopped = load(
        &only_series(folder.path()),
        MAX_VOXELS,
        Some(&AtomicBool::new(true)),
    );
    assert_eq!(stopped.unwrap_err(), Error::Cancelled);
}
