//! `CARD.md` of an imported model: what is known of where it comes from, and what nobody has tried.

use crate::model::Manifest;

/// Where a model comes from.
pub(super) struct Origin {
    pub(super) what: String,
    pub(super) sources: Vec<Source>,
}

/// A file of weights.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) trainer: Option<String>,
    pub(super) epochs: Option<i64>,
}

/// The text of `CARD.md`.
pub(super) fn text(manifest: &Manifest, origin: &Origin) -> String {
    let files: String = origin.sources.iter().map(row).collect();
    let labels: String = manifest
        .labels
        .iter()
        .map(|label| {
            let term = &label.property_type;
            format!(
                "| {} | {} | {} ({}, {}) |\n",
                label.channel, label.name, term.meaning, term.value, term.scheme
            )
        })
        .collect();
    format!(
        "# {name}\n\n{description}\n\nImported by hilum {version} from {what}.\n\n\
         | file | SHA-256 | trainer | epochs |\n| --- | --- | --- | --- |\n{files}\n\
         | channel | label | term |\n| --- | --- | --- |\n{labels}\n\
         Licence: {licence}. Attribution: {attribution}.\n\n\
         `golden.safetensors` holds noise and what the network's definition makes of it: it shows that a device computes \
         as defined, not how well the model does.\n\n\
         Not known: on which patients and devices it was trained, how well it does and where it fails. Complete this card \
         and `[intended_use]` of `model.toml` before its results are relied on.\n",
        name = manifest.name,
        description = manifest.description,
        version = env!("CARGO_PKG_VERSION"),
        what = origin.what,
        licence = manifest.licence,
        attribution = manifest.attribution,
    )
}

fn row(source: &Source) -> String {
    let epochs = source.epochs.map(|epochs| epochs.to_string());
    format!(
        "| {} | `{}` | {} | {} |\n",
        source.name,
        source.sha256,
        source.trainer.as_deref().unwrap_or("unknown"),
        epochs.as_deref().unwrap_or("unknown")
    )
}
