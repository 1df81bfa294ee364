//! Whether a node can run as it is configured: one finding for each thing that it needs.

use super::scu::Scu;
use super::tls;
use super::web::read_token;
use crate::audit::{self, Snapshot, Verdict};
use crate::config::{Config, DestinationKind, NodeConfig, RuleConfig, TlsConfig};
use crate::pipeline::Pipeline;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// As it should be.
    Well,
    /// The node runs, but somebody should know.
    Doubtful,
    /// The node does not run, or not wholly.
    Failed,
}

/// One thing that a node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, by the key of the configuration where it has one.
    pub what: String,
    /// How it is.
    pub finding: Finding,
    /// The same in words.
    pub detail: String,
}

/// Looks at all that a node needs, and changes nothing.
pub fn examine(config: &Config) -> Vec<Check> {
    let node = &config.node;
    let mut checks = vec![
        folder("node.dir", &node.dir),
        disk(node),
        decision_log(&node.dir),
    ];
    checks.push(port("node.dicom.bind", node.dicom.bind));
    if node.http.enabled {
        checks.push(port("node.http.bind", node.http.bind));
        checks.push(http_access(node));
    }
    checks.extend(certificates(node));
    checks.push(models("device and models", config));
    checks.extend(rules(config));
    checks.extend(peers(node));
    checks.extend(destinations(node));
    checks.extend(priors(node));
    checks
}

impl Check {
    fn new(what: impl Into<String>, finding: Finding, detail: impl Into<String>) -> Self {
        let (what, detail) = (what.into(), detail.into());
        Self {
            what,
            finding,
            detail,
        }
    }

    fn of<T, E: ToString>(
        what: impl Into<String>,
        found: Result<T, E>,
        well: impl FnOnce(T) -> String,
    ) -> Self {
        match found {
            Ok(found) => Self::new(what, Finding::Well, well(found)),
            Err(error) => Self::new(what, Finding::Failed, error.to_string()),
        }
    }
}

/// A folder that exists is written to; of one that does not, the nearest above.
fn folder(what: &str, dir: &Path) -> Check {
    let existing = dir
        .ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("."));
    let probe = tempfile::NamedTempFile::new_in(existing);
    Check::of(what, probe, |_| match existing == dir {
        true => format!("{} can be written", dir.display()),
        false => format!("{} will be made", dir.display()),
    })
}

fn disk(node: &NodeConfig) -> Check {
    const GIB: u64 = 1 << 30;
    let existing = node.dir.ancestors().find(|dir| dir.is_dir());
    let free = fs4::available_space(existing.unwrap_or(Path::new(".")));
    let least = node.storage.min_free_bytes;
    let what = "node.storage.min_free_bytes";
    match free {
        Ok(free) if free < least => {
            let detail = format!("{} GiB are free: nothing would be taken", free / GIB);
            Check::new(what, Finding::Failed, detail)
        }
        free => Check::of(what, free, |free| format!("{} GiB are free", free / GIB)),
    }
}

fn decision_log(dir: &Path) -> Check {
    let what = "decision log";
    if !dir.join(audit::LOG).exists() {
        return Check::new(what, Finding::Well, "there is none yet");
    }
    match Snapshot::take(dir).and_then(|snapshot| audit::verify(&snapshot)) {
        Ok(Verdict {
            broken: Some(broken),
            ..
        }) => {
            let detail = format!("{}; see `hilum audit verify`", broken.found);
            Check::new(what, Finding::Failed, detail)
        }
        verdict => Check::of(what, verdict, |verdict| {
            format!("{} record(s), unbroken", verdict.records)
        }),
    }
}

/// A port that is taken may be that of the node that runs.
fn port(what: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::new(what, Finding::Well, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let detail = format!("{address} is taken; by this node, if it runs");
            Check::new(what, Finding::Doubtful, detail)
        }
        Err(error) => Check::new(what, Finding::Failed, format!("{address}: {error}")),
    }
}

fn http_access(node: &NodeConfig) -> Check {
    let what = "node.http.token_file";
    match &node.http.token_file {
        Some(path) => Check::of(what, read_token(path), |_| "can be read".into()),
        None if node.http.bind.ip().is_loopback() => {
            Check::new(what, Finding::Well, "none: this machine alone is answered")
        }
        None => {
            let detail = "none: other machines are answered health and metrics alone";
            Check::new(what, Finding::Doubtful, detail)
        }
    }
}

fn certificates(node: &NodeConfig) -> Vec<Check> {
    let server = |what: &str, tls: &Option<TlsConfig>| {
        let found = tls.as_ref().map(tls::server_config)?;
        Some(Check::of(what, found, |_| "certificate and key fit".into()))
    };
    let client = |what: String, tls: &Option<TlsConfig>| {
        let found = tls.as_ref().map(tls::client_config)?;
        Some(Check::of(what, found, |_| {
            "certificates can be used".into()
        }))
    };
    let mut checks = vec![
        server("node.dicom.tls", &node.dicom.tls),
        server("node.http.tls", &node.http.tls),
        client("node.audit.tls".into(), &node.audit.tls),
    ];
    let peers = node.peers.iter();
    checks.extend(peers.map(|peer| client(format!("peer {}, tls", peer.name), &peer.tls)));
    checks.into_iter().flatten().collect()
}

/// Opens the device and the models, as the node does: each reproduces its golden patch, or is refused.
fn models(what: &str, config: &Config) -> Check {
    match Pipeline::new(config) {
        Ok(pipeline) => {
            let names: Vec<String> = pipeline.manifests().map(|m| m.name.clone()).collect();
            let finding = match pipeline.warnings.is_empty() {
                true => Finding::Well,
                false => Finding::Doubtful,
            };
            let warnings = pipeline.warnings.iter().map(ToString::to_string);
            let said: Vec<String> = [names.join(", ")].into_iter().chain(warnings).collect();
            Check::new(what, finding, said.join("; "))
        }
        Err(error) => Check::new(what, Finding::Failed, error.to_string()),
    }
}

/// The models of rules that name some: a wrong name would make each of their studies a dead letter.
fn rules(config: &Config) -> Vec<Check> {
    let named = config
        .node
        .rules
        .iter()
        .filter(|rule| !rule.models.is_empty());
    let check = |rule: &RuleConfig| {
        let mut config = config.clone();
        config.models.enabled.clone_from(&rule.models);
        models(&format!("rule {}, models", rule.name), &config)
    };
    named.map(check).collect()
}

fn peers(node: &NodeConfig) -> Vec<Check> {
    let scu = Scu::new(&node.dicom.ae_title);
    let peers = node.peers.iter().map(|peer| {
        let what = format!("peer {}", peer.name);
        match peer.port {
            Some(_) => Check::of(what, scu.echo(peer), |()| "answers C-ECHO".into()),
            None => Check::new(
                what,
                Finding::Well,
                "has no port: it calls, and is not called",
            ),
        }
    });
    let mut checks: Vec<Check> = peers.collect();
    if !node.peers.iter().any(|peer| peer.may_store) {
        let detail = "none may send (may_store): instances come by HTTP alone";
        checks.push(Check::new("node.peers", Finding::Doubtful, detail));
    }
    checks
}

/// A peer that is asked for earlier studies is called among the peers.
fn priors(node: &NodeConfig) -> Option<Check> {
    let priors = &node.priors;
    let files = priors.token_file.iter().chain(&priors.ca);
    let read = files.map(fs::read).collect::<Result<Vec<_>, _>>();
    let well = |_| "its files can be read; it is not called".to_owned();
    (!priors.url.is_empty()).then(|| Check::of("node.priors", read, well))
}

fn destinations(node: &NodeConfig) -> Vec<Check> {
    let check = |name: &str, to: &DestinationKind| {
        let what = format!("destination {name}");
        match to {
            DestinationKind::Folder { dir } if !dir.is_dir() => {
                let detail = format!(
                    "{} is no folder; it is not made, for it may be a mount",
                    dir.display()
                );
                Check::new(what, Finding::Failed, detail)
            }
            DestinationKind::Folder { dir } => folder(&what, dir),
            DestinationKind::Dicom { peer, .. } => {
                let callable = node
                    .peers
                    .iter()
                    .any(|p| p.name == *peer && p.port.is_some());
                match callable {
                    true => Check::new(what, Finding::Well, format!("is peer {peer}")),
                    false => Check::new(what, Finding::Failed, format!("peer {peer} has no port")),
                }
            }
            DestinationKind::Stow { token_file, ca, .. } => {
                let files = token_file.iter().chain(ca);
                let read = files.map(fs::read).collect::<Result<Vec<_>, _>>();
                Check::of(what, read, |_| {
                    "its files can be read; it is not called".into()
                })
            }
        }
    };
    let mut checks: Vec<Check> = node
        .destinations
        .iter()
        .map(|d| check(&d.name, &d.to))
        .collect();
    if checks.is_empty() {
        let detail = "none: results stay in node.dir";
        checks.push(Check::new("node.destinations", Finding::Doubtful, detail));
    }
    checks
}
