//! `[node]`: the service that processes every study it is sent.

use super::PriorsConfig;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[node]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Folder of all that the node keeps: received instances, results, database, decision log, secret key.
    pub dir: PathBuf,
    /// The DICOM side.
    pub dicom: DicomConfig,
    /// The HTTP side.
    pub http: HttpConfig,
    /// When a study is complete.
    pub completion: CompletionConfig,
    /// When waiting work may run.
    pub calendar: Calendar,
    /// How what failed is tried again.
    pub retry: RetryConfig,
    /// What is kept, and for how long.
    pub storage: StorageConfig,
    /// Where audit messages go.
    pub audit: AuditConfig,
    /// From where earlier studies are fetched.
    pub priors: PriorsConfig,
    /// Who may send, and who can be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerConfig>,
    /// Which studies run what and when: the first rule that fits holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
    /// Where results go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<DestinationConfig>,
}

/// `[node.dicom]`: C-ECHO and C-STORE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DicomConfig {
    /// What this node is called (PS3.8: 1 to 16 characters).
    pub ae_title: String,
    /// Address and port that it listens on.
    pub bind: SocketAddr,
    /// Associations at one time; more are rejected as transient.
    pub max_associations: usize,
    /// Largest protocol data unit taken, bytes.
    pub max_pdu_bytes: u32,
    /// Largest object taken, bytes.
    pub max_object_bytes: u64,
    /// An association that says nothing for so long is aborted, s.
    pub idle_timeout_s: u64,
    /// An association of this age is aborted, s.
    pub max_association_s: u64,
    /// Certificates, where DICOM runs over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// Certificates as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Own certificate and those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates that a peer's has to be vouched for by. A server with one asks every client for a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_ca: Option<PathBuf>,
}

/// `[node.http]`: STOW-RS, health, metrics and status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Whether the HTTP side runs.
    pub enabled: bool,
    /// Address and port that it listens on.
    pub bind: SocketAddr,
    /// File with the bearer token that STOW-RS and the status want; without one they answer the loopback address alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Certificates, where HTTP runs over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// `[node.completion]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompletionConfig {
    /// A study to which nothing came for so long is complete, s.
    pub idle_s: u64,
    /// As `idle_s`, where as many instances came as the peer says there are, s.
    pub counted_idle_s: u64,
    /// A study is run at the latest so long after its first instance, s.
    pub max_wait_s: u64,
    /// Name of the peer that is asked by C-FIND how many instances a study has; empty asks nobody.
    pub count_by: String,
}

/// `[node.calendar]`: hours are those of the machine's time zone, `HH:MM`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// From when to when nothing is run, as `["12:00", "13:00"]`; empty: at no time.
    pub quiet: Vec<String>,
    /// From when to when work for off-peak hours is run.
    pub off_peak: Vec<String>,
}

/// `[node.retry]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// A study that failed or took the program down so often becomes a dead letter.
    pub max_attempts: u32,
    /// Wait after the first failure, s; each further one doubles it.
    pub first_wait_s: u64,
    /// Longest wait, s. Deliveries are tried for ever at this distance.
    pub max_wait_s: u64,
}

/// `[node.storage]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// With less room than this on the disk, nothing more is taken, bytes.
    pub min_free_bytes: u64,
    /// Received instances are removed so long after their results were delivered, days; 0 keeps them.
    pub keep_instances_days: u32,
    /// Results are removed so long after they were delivered, days; 0 keeps them.
    pub keep_results_days: u32,
}

/// `[node.audit]`: audit messages by syslog over TLS (PS3.15 A.5, RFC 5425).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// `host:port` of the audit repository; empty sends none.
    pub repository: String,
    /// Certificates for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// `[[node.peers]]`: an application entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// What the configuration calls it.
    pub name: String,
    /// Its AE title.
    pub ae_title: String,
    /// Its host name or address; a sender has to come from there.
    pub host: String,
    /// Its port, where this node calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it may send (C-STORE); whoever is a peer may C-ECHO.
    #[serde(default)]
    pub may_store: bool,
    /// Certificates, where it is called over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// When a rule's studies run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// As soon as a device is free.
    #[default]
    Now,
    /// In the off-peak hours, or earlier where `ready_by` asks for it.
    OffPeak,
    /// Never: the study is kept, nothing is run.
    Never,
}

/// `[[node.rules]]`: empty conditions fit every study. Texts fit whatever their case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// What the log calls it.
    pub name: String,
    /// Modalities, of which the study has one: `["CT"]`.
    pub modality: Vec<String>,
    /// Parts of Body Part Examined.
    pub body_part: Vec<String>,
    /// Parts of the Study or Series Description.
    pub description: Vec<String>,
    /// AE titles of senders.
    pub sender: Vec<String>,
    /// Thickest slices of a series that fits, mm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_slice_thickness_mm: Option<f64>,
    /// Models that run; empty: those of `models.enabled`.
    pub models: Vec<String>,
    /// Higher runs first, 0 to 9.
    pub priority: u8,
    /// When.
    pub when: When,
    /// So many of the latest earlier studies of the patient are fetched, 0 to 10.
    pub priors: u8,
    /// Local time by which a study has to be ready, `HH:MM`; its work is begun in time, off-peak or not.
    pub ready_by: String,
}

/// How results travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum DestinationKind {
    /// C-STORE to a peer.
    Dicom {
        /// The peer's name.
        peer: String,
        /// Whether it is asked to commit to what it was sent (Storage Commitment, PS3.4 J).
        #[serde(default)]
        commitment: bool,
    },
    /// STOW-RS (PS3.18).
    Stow {
        /// Address of the service, to which `/studies` is added.
        url: String,
        /// File with a bearer token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_file: Option<PathBuf>,
        /// File of certificates that its own has to be vouched for by; else those of the system.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<PathBuf>,
    },
    /// A folder.
    Folder {
        /// The folder.
        dir: PathBuf,
    },
}

/// `[[node.destinations]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationConfig {
    /// What the log calls it.
    pub name: String,
    /// How results go there.
    #[serde(flatten)]
    pub to: DestinationKind,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("hilum-node"),
            dicom: DicomConfig::default(),
            http: HttpConfig::default(),
            completion: CompletionConfig::default(),
            calendar: Calendar::default(),
            retry: RetryConfig::default(),
            storage: StorageConfig::default(),
            audit: AuditConfig::default(),
            priors: PriorsConfig::default(),
            peers: Vec::new(),
            rules: Vec::new(),
            destinations: Vec::new(),
        }
    }
}

impl Default for DicomConfig {
    fn default() -> Self {
        Self {
            ae_title: "HILUM".into(),
            bind: SocketAddr::from(([127, 0, 0, 1], 11112)),
            max_associations: 50,
            max_pdu_bytes: 128 << 10,
            max_object_bytes: 4 << 30,
            idle_timeout_s: 30,
            max_association_s: 3600,
            tls: None,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            bind: SocketAddr::from(([127, 0, 0, 1], 8042)),
            token_file: None,
            tls: None,
        }
    }
}

impl Default for CompletionConfig {
    fn default() -> Self {
        Self {
            idle_s: 60,
            counted_idle_s: 1,
            max_wait_s: 1800,
            count_by: String::new(),
        }
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            quiet: Vec::new(),
            off_peak: vec!["19:00".into(), "06:00".into()],
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            first_wait_s: 30,
            max_wait_s: 900,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            min_free_bytes: 5 << 30,
            keep_instances_days: 7,
            keep_results_days: 30,
        }
    }
}
