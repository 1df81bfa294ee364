//! The Comprehensive 3D SR of a study: TID 1500, Measurement Report (PS3.16).
//!
//! One TID 1411 group a lesion with its segment, volume, attenuation and confidence, one TID 1501 group with both axes drawn
//! on their slice, and the outcome of every series under Qualitative Evaluations, which stand there also without lesions.

use super::assessment;
use super::codes::{self, Term};
use super::content::{Node, coded, container, image, number, polyline, text, uid_reference};
use super::element::{element, empty, image_reference, item, items, object_references, reference};
use super::finding::{Finding, Findings};
use super::header::{self, DISCLAIMER, Identity, PRODUCT};
use super::{Error, LeftOutSeries, SeriesRun, Status, StudyReport, pet, seg};
use crate::dicom::{Instance, Series};
use crate::measure::{Axis, NodeSize};
use crate::provenance::{ModelIdentity, Provenance};
use crate::uid::UidSource;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

const SERIES_NUMBER: usize = 9001;
const SERIES_DESCRIPTION: &str = "Hilum AI findings, assistive, for review by a physician";

/// The SR of the whole study.
pub(super) fn document(
    report: &StudyReport,
    findings: &Findings,
) -> Result<InMemDicomObject, Error> {
    let identity = Identity {
        sop_class_uid: uids::COMPREHENSIVE3_DSR_STORAGE,
        sop_instance_uid: report.uid_source.uid("sr"),
        series_instance_uid: report.uid_source.uid("sr-series"),
        modality: "SR",
        series_number: SERIES_NUMBER,
        series_description: SERIES_DESCRIPTION,
    };
    let mut object = header::object(report, identity)?;
    object.extend([
        empty(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE),
        empty(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE),
        element(tags::COMPLETION_FLAG, completion(report)),
        element(tags::VERIFICATION_FLAG, "UNVERIFIED"),
        element(tags::PRELIMINARY_FLAG, "PRELIMINARY"),
    ]);
    object.extend(evidence(report, findings));
    object.extend(predecessor(report));
    object.extend(root(report, findings).into_object());
    Ok(object)
}

fn completion(report: &StudyReport) -> &'static str {
    let all_done = report.runs.iter().all(|run| run.status == Status::Done);
    if all_done && !report.runs.is_empty() {
        "COMPLETE"
    } else {
        "PARTIAL"
    }
}

/// TID 1500.
fn root(report: &StudyReport, findings: &Findings) -> Node {
    let document = container(codes::IMAGING_MEASUREMENT_REPORT)
        .template("1500")
        .has_concept_mod(coded(codes::LANGUAGE, codes::ENGLISH));
    let document = device_observer(document, &report.provenance)
        .has_concept_mod(coded(codes::PROCEDURE_REPORTED, procedure(report)));
    let measured = !findings.all.is_empty() || pet::runs(report).next().is_some();
    let measurements = measured.then(|| imaging_measurements(report, findings));
    document
        .for_each(measurements, Node::contains)
        .contains(qualitative_evaluations(report, findings))
}

/// TID 1002 and 1004.
fn device_observer(document: Node, provenance: &Provenance) -> Node {
    let device = UidSource::new([PRODUCT, &provenance.version, &provenance.git_hash]);
    document
        .has_obs_context(coded(codes::OBSERVER_TYPE, codes::DEVICE))
        .has_obs_context(uid_reference(
            codes::DEVICE_OBSERVER_UID,
            &device.uid("device"),
        ))
        .has_obs_context(text(codes::DEVICE_OBSERVER_NAME, PRODUCT))
        .has_obs_context(text(codes::DEVICE_OBSERVER_MANUFACTURER, PRODUCT))
        .has_obs_context(text(
            codes::DEVICE_OBSERVER_MODEL_NAME,
            &format!("{PRODUCT} {}", provenance.version),
        ))
}

fn procedure(report: &StudyReport) -> Term<'static> {
    let runs = report.runs.iter().map(SeriesRun::modality);
    let left_out = report
        .left_out
        .iter()
        .map(|series| series.modality.as_str());
    if runs.chain(left_out).any(|modality| modality == "CT") {
        codes::CT_PROCEDURE
    } else {
        codes::IMAGING_PROCEDURE
    }
}

fn imaging_measurements(report: &StudyReport, findings: &Findings) -> Node {
    container(codes::IMAGING_MEASUREMENTS)
        .for_each(&findings.all, |node, finding| {
            node.contains(volumetric_group(report, finding))
                .contains(axes_group(report, finding))
        })
        .for_each(pet::groups(report), Node::contains)
}

/// TID 1411, Volumetric ROI Measurements and Qualitative Evaluations.
fn volumetric_group(report: &StudyReport, finding: &Finding) -> Node {
    let measurement = finding.measurement;
    let class = uids::SEGMENTATION_STORAGE;
    let mut segment = reference(class, &seg::sop_instance_uid(report, finding.grid));
    segment.put(element(
        tags::REFERENCED_SEGMENT_NUMBER,
        finding.segment_number,
    ));
    group(report, finding)
        .template("1411")
        .contains(image(codes::REFERENCED_SEGMENT, segment))
        .for_each(finding.slices(), |node, slice| {
            let source = source_image(finding, slice);
            node.contains(image(codes::SOURCE_IMAGE_FOR_SEGMENTATION, source))
        })
        .contains(number(codes::VOLUME, measurement.volume_mm3, codes::MM3))
        .for_each(finding.mean_hu(), |node, mean_hu| {
            let name = codes::ATTENUATION_COEFFICIENT;
            let mean = number(name, mean_hu, codes::HOUNSFIELD_UNIT);
            node.contains(mean.has_concept_mod(coded(codes::DERIVATION, codes::MEAN)))
        })
        .for_each(pet::uptake(finding), Node::contains)
        .for_each(pet::uptake_on_pet(finding), Node::contains)
        .for_each(finding.node_size(), |node, size| {
            node.contains(text(codes::COMMENT, node_note(size)))
        })
        .contains(certainty(report, finding))
        .for_each(&finding.lesion.assessment, assessment::evaluations)
}

/// TID 1501, Measurement and Qualitative Evaluation Group: what viewers draw.
fn axes_group(report: &StudyReport, finding: &Finding) -> Node {
    let measurement = finding.measurement;
    let drawn = |name, axis: &Axis| {
        let slice = source_image(finding, measurement.axis_slice);
        number(name, axis.length_mm, codes::MM).inferred_from(
            polyline(codes::SOURCE, &axis.ends_column_row)
                .selected_from(image(codes::SOURCE, slice)),
        )
    };
    group(report, finding)
        .template("1501")
        .contains(drawn(codes::LONG_AXIS, &measurement.long_axis))
        .contains(drawn(codes::SHORT_AXIS, &measurement.short_axis))
}

/// What both groups of a lesion share: tracking, finding, site and algorithm.
fn group(report: &StudyReport, finding: &Finding) -> Node {
    let [category, found] = finding.finding();
    let site = coded(codes::FINDING_SITE, finding.site())
        .for_each(finding.measurement.laterality, |node, laterality| {
            node.has_concept_mod(coded(codes::LATERALITY, codes::side(laterality)))
        });
    let group = container(codes::MEASUREMENT_GROUP)
        .has_obs_context(text(codes::TRACKING_IDENTIFIER, &finding.tracking_id()))
        .has_obs_context(uid_reference(
            codes::TRACKING_UNIQUE_IDENTIFIER,
            &finding.tracking_uid,
        ))
        .contains(coded(codes::FINDING_CATEGORY, category))
        .contains(coded(codes::FINDING, found))
        .has_concept_mod(site);
    let group = algorithm(group, &finding.run.model, &report.provenance);
    group.for_each(header::notes(&finding.run.model), |group, note| {
        group.contains(text(codes::COMMENT, note))
    })
}

/// In words: no context group of PS3.16 has the sizes of nodes.
fn node_note(size: NodeSize) -> &'static str {
    match size {
        NodeSize::Normal => "Lymph node of normal size: short axis below 10 mm.",
        NodeSize::Enlarged => "Enlarged lymph node: short axis of 10 mm or more.",
    }
}

/// TID 1419 row 5 with the confidence in percent.
fn certainty(report: &StudyReport, finding: &Finding) -> Node {
    let percent = assessment::percent(finding.lesion.confidence);
    let node = number(codes::CERTAINTY_OF_FINDING, percent, codes::PERCENT);
    algorithm(node, &finding.run.model, &report.provenance)
}

/// TID 4019.
pub(super) fn algorithm(node: Node, model: &ModelIdentity, provenance: &Provenance) -> Node {
    let version = header::algorithm_version(model, provenance);
    node.has_concept_mod(text(codes::ALGORITHM_NAME, &header::algorithm_name(model)))
        .has_concept_mod(text(codes::ALGORITHM_VERSION, &version))
        .for_each(
            header::algorithm_parameters(model, provenance),
            |node, parameter| node.has_concept_mod(text(codes::ALGORITHM_PARAMETERS, &parameter)),
        )
        .has_concept_mod(coded(
            codes::ALGORITHM_FAMILY,
            codes::algorithm_family(model.method),
        ))
        .has_concept_mod(text(codes::ALGORITHM_MANUFACTURER, PRODUCT))
}

fn qualitative_evaluations(report: &StudyReport, findings: &Findings) -> Node {
    container(codes::QUALITATIVE_EVALUATIONS)
        .contains(text(codes::COMMENT, DISCLAIMER))
        .for_each(assessment::review_summary(findings), Node::contains)
        .contains(coded(codes::PROCESSING_SUMMARY, outcome(report, findings)))
        .for_each(&report.runs, |node, run| node.contains(series_outcome(run)))
        .for_each(&report.left_out, |node, series| {
            node.contains(left_out(series))
        })
        .for_each(&report.warnings, |node, warning| {
            node.contains(text(codes::COMMENT, &format!("Warning: {warning}")))
        })
}

/// CID 6047. A skipped run neither succeeded nor failed, and normal uptake is no finding.
fn outcome(report: &StudyReport, findings: &Findings) -> Term<'static> {
    let runs = report.runs.iter().map(|run| run.status);
    let statuses = runs.chain(report.left_out.iter().map(|series| series.status));
    let any = |status| statuses.clone().any(|found| found == status);
    match (
        any(Status::Done),
        any(Status::Failed),
        findings.abnormal().next().is_none(),
    ) {
        (false, ..) => codes::NONE_SUCCEEDED,
        (true, false, true) => codes::ALL_SUCCEEDED_WITHOUT_FINDINGS,
        (true, false, false) => codes::ALL_SUCCEEDED_WITH_FINDINGS,
        (true, true, true) => codes::SOME_SUCCEEDED_WITHOUT_FINDINGS,
        (true, true, false) => codes::SOME_SUCCEEDED_WITH_FINDINGS,
    }
}

fn series_outcome(run: &SeriesRun) -> Node {
    coded(codes::SUMMARY_OF_DETECTIONS, ended(run.status))
        .has_properties(uid_reference(
            codes::SERIES_INSTANCE_UID,
            run.series_instance_uid(),
        ))
        .has_properties(text(
            codes::ALGORITHM_NAME,
            &header::algorithm_name(&run.model),
        ))
        .for_each(&run.reason, |node, reason| {
            let reason = format!("{}: {}", reason.code, reason.text);
            node.has_properties(text(codes::COMMENT, &reason))
        })
        .for_each(run.stated_confidence_meaning(), |node, meaning| {
            node.has_properties(text(codes::COMMENT, &format!("Confidence: {meaning}")))
        })
        .for_each(header::notes(&run.model), |node, note| {
            node.has_properties(text(codes::COMMENT, note))
        })
        .for_each(&run.pet, |node, pet| {
            node.has_properties(text(codes::COMMENT, &pet.branch_text()))
                .for_each(pet.missing_references(), |node, missing| {
                    node.has_properties(text(codes::COMMENT, &missing))
                })
        })
        .for_each(run.all_warnings(), |node, warning| {
            node.has_properties(text(codes::COMMENT, &format!("Warning: {warning}")))
        })
}

fn ended(status: Status) -> Term<'static> {
    match status {
        Status::Done => codes::SUCCEEDED,
        Status::Skipped => codes::NOT_ATTEMPTED,
        Status::Failed => codes::FAILED,
    }
}

fn left_out(series: &LeftOutSeries) -> Node {
    let reason = format!("{}: {}", series.reason.code, series.reason.text);
    coded(codes::SUMMARY_OF_DETECTIONS, ended(series.status))
        .has_properties(uid_reference(
            codes::SERIES_INSTANCE_UID,
            &series.series_instance_uid,
        ))
        .has_properties(text(codes::COMMENT, &reason))
}

fn source_image(finding: &Finding, slice: usize) -> InMemDicomObject {
    image_reference(finding.instance(slice))
}

/// Every instance that a run was given, and every SEG (PS3.3 C.17.2); absent where there is none.
fn evidence(report: &StudyReport, findings: &Findings) -> Option<InMemElement> {
    let mut examined: Vec<&Series> = Vec::new();
    for run in report
        .runs
        .iter()
        .filter(|run| run.status != Status::Skipped)
    {
        for series in std::iter::once(&run.series).chain(&run.companions) {
            if !examined.contains(series) {
                examined.push(series);
            }
        }
    }
    let segs = (0..findings.grids.len()).map(|grid| {
        let seg = seg::sop_instance_uid(report, grid);
        let references = vec![reference(uids::SEGMENTATION_STORAGE, &seg)];
        series_item(&seg::series_instance_uid(report, grid), references)
    });
    let series: Vec<_> = source_series(&examined).into_iter().chain(segs).collect();
    if series.is_empty() {
        return None;
    }
    let study = item([
        element(tags::STUDY_INSTANCE_UID, report.study_instance_uid.as_str()),
        items(tags::REFERENCED_SERIES_SEQUENCE, series),
    ]);
    Some(items(
        tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
        vec![study],
    ))
}

/// Predecessor Documents Sequence (PS3.3 C.17.2).
fn predecessor(report: &StudyReport) -> Option<InMemElement> {
    let earlier = report.supersedes.as_ref()?;
    let document = reference(uids::COMPREHENSIVE3_DSR_STORAGE, &earlier.sop_instance_uid);
    let study = item([
        element(tags::STUDY_INSTANCE_UID, report.study_instance_uid.as_str()),
        items(
            tags::REFERENCED_SERIES_SEQUENCE,
            vec![series_item(&earlier.series_instance_uid, vec![document])],
        ),
    ]);
    Some(items(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, vec![study]))
}

/// One item a Series Instance UID, also where several of its stacks were examined.
fn source_series(examined: &[&Series]) -> Vec<InMemDicomObject> {
    let mut by_uid: Vec<(&str, Vec<Instance>)> = Vec::new();
    for series in examined {
        let instances = series.instances.iter().cloned();
        match by_uid.iter_mut().find(|(uid, _)| *uid == series.uid()) {
            Some((_, all)) => all.extend(instances),
            None => by_uid.push((series.uid(), instances.collect())),
        }
    }
    by_uid
        .into_iter()
        .map(|(uid, instances)| series_item(uid, object_references(&instances)))
        .collect()
}

fn series_item(uid: &str, references: Vec<InMemDicomObject>) -> InMemDicomObject {
    item([
        element(tags::SERIES_INSTANCE_UID, uid),
        items(tags::REFERENCED_SOP_SEQUENCE, references),
    ])
}
