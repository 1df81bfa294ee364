//! Files and folders to studies.
//!
//! In: paths. Out: an [`Inventory`] of studies and their series, with everything that is no series and why.
//! Refused, file by file: what cannot be read or is no DICOM object; the rest of the batch goes on.

use super::codec::Codec;
use super::duplicates::without_duplicates;
use super::file::{DicomFile, PixelElement, guarded, same_bytes};
use super::frames::{check_native_length, same_frames};
use super::instance::{Identity, Patient};
use super::list::list_files;
use super::stack::same_samples;
use super::{Attribute, Error, Instance, Series, functional, split};
use crate::error::Class;
use crate::warning::Warning;
use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was found below the given paths.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By Study Instance UID.
    pub studies: Vec<Study>,
    /// Files and folders that should have been readable, and damaged slices of series that go on without them, by path.
    pub unreadable: Vec<Unreadable>,
    /// Files that were passed over for good reason, counted by code: `not-dicom`, `dicomdir`.
    pub skipped: BTreeMap<&'static str, usize>,
}

/// A file or folder that could not be read or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Unreadable {
    /// Which; it may hold a patient's name, so it is for the person who gave it, not for logs.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

/// All series of one StudyInstanceUID.
#[derive(Debug)]
pub struct Study {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series that are volumes, by Series Instance UID.
    pub series: Vec<Series>,
    /// Series that are not (localizers, secondary captures, broken ones), by Series Instance UID.
    pub left_out: Vec<LeftOut>,
}

impl Study {
    /// Why nothing may be reported of the study as a whole: its objects are of several patients.
    pub fn refusal(&self) -> Option<&Error> {
        let mut errors = self.left_out.iter().map(|left_out| &left_out.error);
        errors.find(|error| matches!(error, Error::SeveralPatients { .. }))
    }

    /// Patient and study attributes: those of the first slice, or where no series is a volume of any object.
    ///
    /// # Errors
    /// As [`header`].
    pub fn header(&self) -> Result<InMemDicomObject, Error> {
        if let Some(instance) = self.series.iter().flat_map(|s| &s.instances).next() {
            return header(instance);
        }
        let path = self.left_out.first().map(|left_out| &left_out.path);
        let missing = || Error::Missing {
            attribute: Attribute::STUDY_INSTANCE_UID,
            uid: self.study_instance_uid.clone(),
        };
        let path = path.ok_or_else(missing)?;
        guarded(&self.study_instance_uid, || {
            let object = DicomFile::open(path)?.object()?;
            let identity = Identity::from_object(&object)?;
            if identity.study_instance_uid == self.study_instance_uid {
                Ok(object)
            } else {
                Err(missing())
            }
        })
    }
}

/// A series that no model runs on, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}; left out (series {series_instance_uid})")]
pub struct LeftOut {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Modality, where known.
    pub modality: String,
    /// The reason; of several, that of the first object by SOP Instance UID.
    pub error: Error,
    /// One file of the series; it may hold a patient's name, so it is not for logs.
    pub path: PathBuf,
}

/// Reads the headers of all files below `paths`, in parallel, and groups them to studies and series.
///
/// Folders are searched to any depth, symbolic links followed, each file read once. `on_file` is called from any thread
/// with the number of files done. Only [`Instance`]s are kept in memory. The result does not depend on the order of files.
///
/// A file without the mark of DICOM is passed over in silence, unless it was named itself, is empty or ends in `.dcm`.
/// Nothing fails as a whole: what cannot be read stands in [`Inventory::unreadable`].
pub fn read_paths(paths: &[PathBuf], on_file: &(dyn Fn(usize) + Sync)) -> Inventory {
    let mut inventory = Inventory::default();
    let files = list_files(paths, &mut inventory.unreadable);
    let done = AtomicUsize::new(0);
    let entries: Vec<Entry> = files
        .par_iter()
        .map(|(path, named)| {
            let entry = read_file(path, *named);
            on_file(done.fetch_add(1, Ordering::Relaxed) + 1);
            entry
        })
        .collect();
    let mut groups = BTreeMap::<String, BTreeMap<String, Group>>::new();
    for ((path, _), entry) in files.into_iter().zip(entries) {
        match entry {
            Entry::Slices(identity, slices, part) => {
                let group = group(
                    &mut groups,
                    &identity.study_instance_uid,
                    &identity.series_instance_uid,
                );
                group.patients.extend(identity.patient);
                group.slices.extend(slices);
                group.concatenated.extend(part);
            }
            Entry::Refused(identity, error) => {
                let group = group(
                    &mut groups,
                    &identity.study_instance_uid,
                    &identity.series_instance_uid,
                );
                group.patients.extend(identity.patient.clone());
                group.refused.push((path, *identity, error));
            }
            Entry::Unreadable(error) => inventory.unreadable.push(Unreadable { path, error }),
            Entry::Skipped(error) => *inventory.skipped.entry(error.code()).or_default() += 1,
        }
    }
    let studies = groups.into_iter();
    inventory.studies = studies
        .map(|(uid, groups)| study(uid, groups, &mut inventory.unreadable))
        .collect();
    inventory.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    inventory
}

/// All attributes of an instance but the pixel data and what follows them, as its file holds them now.
///
/// # Errors
/// As for reading the file the first time; [`Error::FileChanged`] where it now holds another object.
pub fn header(instance: &Instance) -> Result<InMemDicomObject, Error> {
    guarded(&instance.sop_instance_uid, || {
        DicomFile::open(&instance.path)?.object_of(&instance.sop_instance_uid)
    })
}

/// What one file turned out to be.
enum Entry {
    /// The images of one object, and its place in a concatenation.
    Slices(Box<Identity>, Vec<Instance>, Option<Part>),
    Refused(Box<Identity>, Error),
    Unreadable(Error),
    Skipped(Error),
}

/// Concatenation UID, the number of an object in it, and how many it has.
type Part = (String, u16, Option<u16>);

/// The objects of one series.
#[derive(Default)]
struct Group {
    patients: BTreeSet<Patient>,
    slices: Vec<Instance>,
    concatenated: Vec<Part>,
    refused: Vec<(PathBuf, Identity, Error)>,
}

fn group<'a>(
    groups: &'a mut BTreeMap<String, BTreeMap<String, Group>>,
    study: &str,
    series: &str,
) -> &'a mut Group {
    groups
        .entry(study.to_owned())
        .or_default()
        .entry(series.to_owned())
        .or_default()
}

fn read_file(path: &Path, named: bool) -> Entry {
    let wanted = named
        || path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("dcm"));
    match guarded("unknown", || read_entry(path)) {
        Ok(entry) => entry,
        Err(Error::NotDicom) if !wanted => Entry::Skipped(Error::NotDicom),
        Err(error) => Entry::Unreadable(error),
    }
}

fn read_entry(path: &Path) -> Result<Entry, Error> {
    let file = DicomFile::open(path)?;
    if file.media_class_uid == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return Ok(Entry::Skipped(Error::Dicomdir));
    }
    file.expect_complete()?;
    let object = file.object()?;
    let identity = Identity::from_object(&object)?;
    let multi_frame = functional::is_multi_frame(&identity.sop_class_uid);
    let slices = if multi_frame {
        functional::instances(path, file.syntax.uid(), &object)
    } else {
        Instance::from_object(path, file.syntax.uid(), &object).map(|instance| vec![instance])
    };
    let slices = slices.and_then(|slices| check_pixel_element(&slices, &file).map(|()| slices));
    let part = functional::concatenation(&object).filter(|_| multi_frame);
    Ok(match slices {
        Ok(slices) => Entry::Slices(Box::new(identity), slices, part),
        Err(error) => Entry::Refused(Box::new(identity), error),
    })
}

/// The transfer syntax must be one that is decoded, and native pixel data must have the declared length.
pub(super) fn check_pixel_element(slices: &[Instance], file: &DicomFile) -> Result<(), Error> {
    let Some(instance) = slices.first() else {
        return Ok(());
    };
    if Codec::of(file.syntax.uid()).is_none() {
        let found = file.syntax.uid().to_owned();
        return Err(Error::TransferSyntax { found });
    }
    match file.pixel {
        None => Err(Error::Missing {
            attribute: Attribute::PIXEL_DATA,
            uid: instance.sop_instance_uid.clone(),
        }),
        Some(PixelElement::Native(bytes)) => check_native_length(instance, slices.len(), bytes),
        Some(PixelElement::Encapsulated) => Ok(()),
    }
}

fn study(
    study_instance_uid: String,
    groups: BTreeMap<String, Group>,
    unreadable: &mut Vec<Unreadable>,
) -> Study {
    let mut study = Study {
        study_instance_uid,
        series: Vec::new(),
        left_out: Vec::new(),
    };
    let patients: BTreeSet<&Patient> = groups.values().flat_map(|g| &g.patients).collect();
    let several = (patients.len() > 1).then(|| Error::SeveralPatients {
        uid: study.study_instance_uid.clone(),
    });
    for (series_instance_uid, mut group) in groups {
        group
            .refused
            .sort_by(|a, b| a.1.sop_instance_uid.cmp(&b.1.sop_instance_uid));
        let modality = group.modality();
        let path = group.path();
        let damaged = group.damaged();
        match several.clone().map_or_else(|| group.into_series(), Err) {
            Ok(series) => {
                study.series.extend(series);
                unreadable.extend(damaged);
            }
            Err(error) => study.left_out.push(LeftOut {
                series_instance_uid,
                modality,
                error,
                path,
            }),
        }
    }
    study
}

impl Group {
    fn path(&self) -> PathBuf {
        let slice = self.slices.first().map(|s| s.path.clone());
        let refused = || self.refused.first().map(|(path, _, _)| path.clone());
        slice.or_else(refused).unwrap_or_default()
    }

    fn modality(&self) -> String {
        let slice = self.slices.first().map(|s| s.modality.clone());
        let refused = || {
            self.refused
                .first()
                .map(|(_, identity, _)| identity.modality.clone())
        };
        slice.or_else(refused).unwrap_or_default()
    }

    /// Objects that break the standard; what is only no slice of a volume is not among them.
    fn damaged(&self) -> Vec<Unreadable> {
        let broken = |(_, _, error): &&(PathBuf, Identity, Error)| error.class() == Class::Input;
        let refused = self.refused.iter().filter(broken);
        refused
            .map(|(path, _, error)| Unreadable {
                path: path.clone(),
                error: error.clone(),
            })
            .collect()
    }

    /// The stacks of the slices; objects that were refused are counted in their warnings, by reason.
    fn into_series(self) -> Result<Vec<Series>, Error> {
        if self.slices.is_empty()
            && let Some((_, _, error)) = self.refused.first()
        {
            return Err(error.clone());
        }
        // A damaged slice explains better than the gap that it leaves.
        let damaged = |e: &&Error| e.class() == Class::Input;
        let mut refused = self.refused.iter().map(|(_, _, error)| error);
        check_concatenations(&self.concatenated)?;
        let (slices, duplicates) = without_duplicates(self.slices, same_pixels())?;
        let mut series = split::stacks(slices)
            .map_err(|error| refused.find(damaged).cloned().unwrap_or(error))?;
        let mut reasons = BTreeMap::<&str, (usize, String)>::new();
        for (_, _, error) in &self.refused {
            let (count, _) = reasons
                .entry(error.code())
                .or_insert_with(|| (0, error.to_string()));
            *count += 1;
        }
        let left_out = reasons
            .into_values()
            .map(|(count, reason)| Warning::InstancesLeftOut { count, reason });
        let warnings: Vec<Warning> = duplicates.into_iter().chain(left_out).collect();
        for stack in &mut series {
            stack.warnings.extend_from_slice(&warnings);
        }
        Ok(series)
    }
}

/// Compares images of equal attributes by their samples; multi-frame objects as a whole, once.
fn same_pixels() -> impl Fn(&Instance, &Instance) -> Result<bool, Error> {
    let files = RefCell::new(BTreeMap::new());
    move |a, b| {
        if a.frame_number.is_none() {
            return same_samples(a, b);
        }
        let pair = (a.path.clone(), b.path.clone());
        if let Some(same) = files.borrow().get(&pair) {
            return Ok(*same);
        }
        let same = same_bytes(&a.path, &b.path)? || same_frames(a, b)?;
        files.borrow_mut().insert(pair, same);
        Ok(same)
    }
}

/// Refuses concatenations that say how many objects they have and have fewer.
fn check_concatenations(parts: &[Part]) -> Result<(), Error> {
    let mut concatenations = BTreeMap::<&str, (BTreeSet<u16>, u16)>::new();
    for (uid, number, of) in parts {
        let (numbers, total) = concatenations.entry(uid).or_default();
        numbers.insert(*number);
        *total = of.unwrap_or(0).max(*total);
    }
    let incomplete = concatenations
        .into_iter()
        .find(|(_, (numbers, total))| numbers.len() < usize::from(*total));
    match incomplete {
        None => Ok(()),
        Some((uid, (numbers, total))) => Err(Error::ConcatenationIncomplete {
            found: numbers.len(),
            total: total.into(),
            uid: uid.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{folder_of, read, slice, with};
    use dicom_core::VR;
    use dicom_dictionary_std::tags;

    #[test]
    fn a_study_of_two_patients_has_no_series_and_says_so_without_their_ids() {
        let of = |id: &str, z| with(slice(z), tags::PATIENT_ID, VR::LO, id);
        let other = with(of("ID-B", 1), tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.2");
        let folder = folder_of([of("ID-A", 0), of("ID-A", 1), other]);
        let study = read(folder.path()).studies.remove(0);
        assert!(study.series.is_empty());
        let refusal = study.refusal().expect("refused");
        assert_eq!(refusal.code(), "several-patients");
        assert!(!format!("{refusal} {refusal:?}").contains("ID-"));
        // An object without an ID is nobody else's.
        let nameless = with(slice(0), tags::PATIENT_ID, VR::LO, "");
        let folder = folder_of([nameless, of("ID-A", 1)]);
        assert_eq!(read(folder.path()).studies[0].series.len(), 1);
    }
}
