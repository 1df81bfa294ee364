//! LUNA16's CSV files: `annotations.csv`, `annotations_excluded.csv` and `seriesuids.csv`.
//!
//! Coordinates are world millimetres of the MetaImage files, which are LPS.

use super::{Case, Error, LunaFiles, Nodule};
use crate::quote::quoted;
use crate::uid;
use csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

const COLUMNS: [&str; 5] = ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"];

/// Diameter of an excluded mark without one, as LUNA16's own evaluation takes it, mm.
const EXCLUDED_MM: f64 = 10.0;

/// No nodule is larger, and no patient, mm.
const MAX_MM: f64 = 1e5;

/// All series of the annotations and, where those are given, of the excluded marks and of the list of series.
pub(super) fn read(annotations: &Path, luna: &LunaFiles) -> Result<Vec<Case>, Error> {
    let mut cases = BTreeMap::new();
    marks(annotations, 4, &mut cases)?;
    if let Some(excluded) = &luna.excluded {
        marks(excluded, 0, &mut cases)?;
    }
    if let Some(series) = &luna.series {
        list(series, &mut cases)?;
    }
    Ok(cases.into_values().collect())
}

type Cases = BTreeMap<String, Case>;

fn case<'a>(cases: &'a mut Cases, uid: &str) -> &'a mut Case {
    cases.entry(uid.to_owned()).or_insert_with(|| Case {
        series_instance_uid: uid.to_owned(),
        nodules: Vec::new(),
        label_map: None,
        shape_zyx: None,
    })
}

fn marks(file: &Path, readers: u32, cases: &mut Cases) -> Result<(), Error> {
    let mut rows = reader(file, true)?;
    let header = rows.headers().map_err(|e| unreadable(file, &e))?.clone();
    let column = |name: &str| header.iter().position(|found| found == name);
    let columns = COLUMNS.map(column);
    if header.len() != COLUMNS.len() || columns.contains(&None) {
        let found: Vec<String> = header.iter().map(shown).collect();
        return Err(Error::TruthColumns {
            file: file.into(),
            found: found.join(", "),
            needed: COLUMNS.join(", "),
        });
    }
    let columns = columns.map(Option::unwrap_or_default);
    for row in rows.records() {
        let row = row.map_err(|e| unreadable(file, &e))?;
        let (uid, nodule) = mark(&row, columns, readers).map_err(|what| Error::TruthLine {
            file: file.into(),
            line: line(&row),
            what,
        })?;
        let nodules = &mut case(cases, uid).nodules;
        let label = u16::try_from(nodules.len() + 1).unwrap_or(u16::MAX);
        nodules.push(Nodule { label, ..nodule });
    }
    Ok(())
}

fn mark(row: &StringRecord, columns: [usize; 5], readers: u32) -> Result<(&str, Nodule), String> {
    let text = |column: usize| row.get(columns[column]).ok_or("too few values".to_owned());
    if row.len() != COLUMNS.len() {
        return Err(format!(
            "{} values, {} are needed",
            row.len(),
            COLUMNS.len()
        ));
    }
    let uid = text(0)?;
    if !uid::is_valid(uid) {
        return Err("seriesuid is no UID (PS3.5 9.1)".into());
    }
    let number = |column: usize| {
        let number = text(column)?.parse().ok();
        let number = number.filter(|mm: &f64| mm.abs() <= MAX_MM);
        number.ok_or_else(|| format!("{} is no number in millimetres", COLUMNS[column]))
    };
    let diameter_mm = match number(4)? {
        mm if mm > 0.0 => mm,
        _ if readers == 0 => EXCLUDED_MM,
        _ => return Err("diameter_mm must be positive".into()),
    };
    let nodule = Nodule {
        label: 0,
        readers,
        centroid_lps_mm: [number(1)?, number(2)?, number(3)?],
        diameter_mm,
        volume_mm3: None,
        nodule_type: None,
        attachment: None,
    };
    Ok((uid, nodule))
}

/// A UID a line, with or without a header.
fn list(file: &Path, cases: &mut Cases) -> Result<(), Error> {
    for row in reader(file, false)?.records() {
        let row = row.map_err(|e| unreadable(file, &e))?;
        match row.get(0).unwrap_or_default() {
            uid if uid::is_valid(uid) => drop(case(cases, uid)),
            header if header == COLUMNS[0] && line(&row) == 1 => {}
            _ => {
                return Err(Error::TruthLine {
                    file: file.into(),
                    line: line(&row),
                    what: "seriesuid is no UID (PS3.5 9.1)".into(),
                });
            }
        }
    }
    Ok(())
}

fn reader(file: &Path, has_headers: bool) -> Result<csv::Reader<File>, Error> {
    let open = File::open(file).map_err(|e| Error::Read {
        file: file.into(),
        kind: e.kind(),
    })?;
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(has_headers)
        .flexible(true)
        .trim(Trim::All);
    Ok(builder.from_reader(open))
}

fn line(row: &StringRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

/// A column's name, if it is one of those that are known.
fn shown(name: &str) -> String {
    match COLUMNS.contains(&name) {
        true => name.to_owned(),
        false => format!("({})", quoted(name)),
    }
}

fn unreadable(file: &Path, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(e) => Error::Read {
            file: file.into(),
            kind: e.kind(),
        },
        _ => Error::TruthLine {
            file: file.into(),
            line: error.position().map_or(0, csv::Position::line),
            what: "no text in UTF-8".into(),
        },
    }
}
