//! `findings.json`: the report for programs, as `docs/findings.schema.json` describes it. Holds no patient attributes.

use super::assessment::AssessmentEntry;
use super::finding::{Finding, Findings, FoundStructure};
use super::pet::{OnPetEntry, PetEntry, PetSeriesEntry, SuvEntry};
use super::{Error, Reason, SeriesRun, Status, StudyReport};
use crate::code::Code;
use crate::lesion::Kind;
use crate::measure::{Laterality, NodeSize};
use crate::provenance::{Method, Provenance};
use crate::warning::Warning;
use serde::Serialize;
use std::collections::BTreeMap;

/// Grows when a key changes its meaning or goes; new keys alone leave it as it is.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    study_instance_uid: &'a str,
    series: Vec<SeriesEntry<'a>>,
    lesions: Vec<LesionEntry<'a>>,
    structures: Vec<StructureEntry<'a>>,
    warnings: Vec<WarningEntry<'a>>,
    timings_ms: &'a BTreeMap<String, f64>,
    provenance: ProvenanceEntry<'a>,
}

#[derive(Serialize)]
struct ProvenanceEntry<'a> {
    #[serde(flatten)]
    run: &'a Provenance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suv: Vec<SuvEntry<'a>>,
}

#[derive(Serialize)]
struct SeriesEntry<'a> {
    series_instance_uid: &'a str,
    modality: &'a str,
    model: Option<&'a str>,
    method: Option<Method>,
    experimental: bool,
    status: Status,
    reason: Option<&'a Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_meaning: Option<&'a str>,
    #[serde(flatten)]
    pet: Option<PetSeriesEntry<'a>>,
}

#[derive(Serialize)]
struct LesionEntry<'a> {
    id: usize,
    tracking_uid: &'a str,
    kind: Kind,
    model: &'a str,
    series_instance_uid: &'a str,
    sop_instance_uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_number: Option<u32>,
    segment_number: u16,
    confidence: f32,
    #[serde(flatten)]
    assessment: Option<AssessmentEntry>,
    centroid_lps_mm: [f64; 3],
    volume_mm3: f64,
    long_axis_mm: f64,
    short_axis_mm: f64,
    mean_hu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_size: Option<NodeSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pet: Option<PetEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_pet: Option<OnPetEntry>,
    site: Site<'a>,
}

#[derive(Serialize)]
struct StructureEntry<'a> {
    name: &'a str,
    code: &'a Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    modifier: Option<&'a Code>,
    series_instance_uid: &'a str,
    segment_number: u16,
    volume_mm3: f64,
}

#[derive(Serialize)]
struct Site<'a> {
    code: &'a str,
    meaning: &'a str,
    laterality: Option<Laterality>,
}

#[derive(Serialize)]
struct WarningEntry<'a> {
    code: &'static str,
    text: String,
    series_instance_uid: Option<&'a str>,
}

/// The bytes of `findings.json`.
pub(super) fn document(report: &StudyReport, findings: &Findings) -> Result<Vec<u8>, Error> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        study_instance_uid: &report.study_instance_uid,
        series: series(report),
        lesions: findings.all.iter().map(lesion).collect(),
        structures: findings.structures.iter().map(structure).collect(),
        warnings: warnings(report),
        timings_ms: &report.timings_ms,
        provenance: ProvenanceEntry {
            run: &report.provenance,
            suv: super::pet::runs(report).map(SuvEntry::from).collect(),
        },
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|source| Error::Encode {
        file: super::write::FINDINGS_JSON.into(),
        source: source.into(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn series<'a>(report: &'a StudyReport) -> Vec<SeriesEntry<'a>> {
    let runs = report.runs.iter().map(|run| SeriesEntry {
        series_instance_uid: run.series_instance_uid(),
        modality: run.modality(),
        model: Some(&run.model.name),
        method: Some(run.model.method),
        experimental: run.model.experimental,
        status: run.status,
        reason: run.reason.as_ref(),
        confidence_meaning: run.stated_confidence_meaning(),
        pet: run.pet.as_ref().map(PetSeriesEntry::from),
    });
    let left_out = report.left_out.iter().map(|series| SeriesEntry {
        series_instance_uid: &series.series_instance_uid,
        modality: &series.modality,
        model: None,
        method: None,
        experimental: false,
        status: series.status,
        reason: Some(&series.reason),
        confidence_meaning: None,
        pet: None,
    });
    runs.chain(left_out).collect()
}

fn lesion<'a>(finding: &'a Finding) -> LesionEntry<'a> {
    let Finding {
        lesion,
        measurement,
        ..
    } = finding;
    let site = finding.site();
    LesionEntry {
        id: finding.id,
        tracking_uid: &finding.tracking_uid,
        kind: lesion.kind,
        model: &finding.run.model.name,
        series_instance_uid: finding.run.series_instance_uid(),
        sop_instance_uid: &finding.instance(measurement.axis_slice).sop_instance_uid,
        frame_number: finding.instance(measurement.axis_slice).frame_number,
        segment_number: finding.segment_number,
        confidence: lesion.confidence,
        assessment: lesion.assessment.as_ref().map(AssessmentEntry::from),
        centroid_lps_mm: measurement.centroid_lps_mm.to_array(),
        volume_mm3: measurement.volume_mm3,
        long_axis_mm: measurement.long_axis.length_mm,
        short_axis_mm: measurement.short_axis.length_mm,
        mean_hu: finding.mean_hu(),
        node_size: finding.node_size(),
        pet: measurement.pet.as_ref().map(PetEntry::from),
        on_pet: measurement.on_pet.map(OnPetEntry::from),
        site: Site {
            code: site.value,
            meaning: site.meaning,
            laterality: measurement.laterality,
        },
    }
}

fn structure<'a>(found: &'a FoundStructure) -> StructureEntry<'a> {
    let FoundStructure { run, structure, .. } = found;
    let step_mm3 = run.series.geometry.voxel_volume_mm3();
    let voxels = structure.mask.voxels();
    let steps: f64 = voxels.map(|[z, _, _]| run.series.slices.extent(z)).sum();
    StructureEntry {
        name: &structure.name,
        code: &structure.terms.property_type,
        modifier: structure.terms.modifier.as_ref(),
        series_instance_uid: run.series_instance_uid(),
        segment_number: found.segment_number,
        volume_mm3: steps * step_mm3,
    }
}

fn warnings<'a>(report: &'a StudyReport) -> Vec<WarningEntry<'a>> {
    let entry = |warning: &Warning, series_instance_uid| WarningEntry {
        code: warning.code(),
        text: warning.to_string(),
        series_instance_uid,
    };
    let of_run = |run: &'a SeriesRun| {
        let uid = Some(run.series_instance_uid());
        run.all_warnings().map(move |warning| entry(warning, uid))
    };
    let of_study = report.warnings.iter().map(|warning| entry(warning, None));
    of_study
        .chain(report.runs.iter().flat_map(of_run))
        .collect()
}
