//! Keyword and tag of every attribute that a message names.

pub(super) const UNITS: &str = "Units (0054,1001)";
pub(super) const SUV_TYPE: &str = "SUVType (0054,1006)";
pub(super) const DECAY_CORRECTION: &str = "DecayCorrection (0054,1102)";
pub(super) const CORRECTED_IMAGE: &str = "CorrectedImage (0028,0051)";
pub(super) const RESCALE_SLOPE: &str = "RescaleSlope (0028,1053)";
pub(super) const RESCALE_INTERCEPT: &str = "RescaleIntercept (0028,1052)";
pub(super) const MANUFACTURER: &str = "Manufacturer (0008,0070)";
pub(super) const SERIES_TIME: &str = "SeriesTime (0008,0031)";
pub(super) const ACQUISITION_TIME: &str = "AcquisitionTime (0008,0032)";
pub(super) const FRAME_DURATION: &str = "ActualFrameDuration (0018,1242)";
pub(super) const WEIGHT: &str = "PatientWeight (0010,1030)";
pub(super) const SIZE: &str = "PatientSize (0010,1020)";
pub(super) const SEX: &str = "PatientSex (0010,0040)";
pub(super) const TRACERS: &str = "RadiopharmaceuticalInformationSequence (0054,0016)";
pub(super) const DOSE: &str = "RadionuclideTotalDose (0018,1074)";
pub(super) const HALF_LIFE: &str = "RadionuclideHalfLife (0018,1075)";
pub(super) const START: &str = "RadiopharmaceuticalStartDateTime (0018,1078)";
pub(super) const PHILIPS_FACTORS: &str =
    "the factors (7053,xx00) and (7053,xx09) of Philips PET Private Group";
