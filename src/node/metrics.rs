//! What the node counts, in Prometheus' text format. Labels are codes, and names from the configuration: never a UID,
//! a title or an address of a peer.

use super::status::Status;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// One label whose values are known beforehand.
type Coded = [(&'static str, &'static str); 1];
/// One label whose values come from the configuration or the machine.
type Named = [(&'static str, String); 1];

/// Upper bounds of a stage's duration, s.
const STAGE_BUCKETS_S: [f64; 12] = [
    0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0,
];

/// Counters and gauges of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    received: Counter,
    refused: Family<Coded, Counter>,
    associations: Family<Coded, Counter>,
    requests: Family<[(&'static str, String); 2], Counter>,
    jobs: Family<Coded, Counter>,
    stages: Family<Coded, Histogram, fn() -> Histogram>,
    deliveries: Family<[(&'static str, String); 2], Counter>,
    priors: Family<Coded, Counter>,
    gauges: Gauges,
}

/// What is measured at each look, rather than counted.
#[derive(Debug, Default)]
struct Gauges {
    ready: Gauge,
    studies: Family<Coded, Gauge>,
    oldest_waiting_s: Gauge,
    dead_letters: Family<Named, Gauge>,
    waiting: Family<Named, Gauge>,
    failing: Family<Named, Gauge>,
    free_bytes: Gauge,
    priors_waiting: Gauge,
    priors_failed: Family<Named, Gauge>,
    devices: Family<[(&'static str, String); 3], Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hilum"),
            received: Counter::default(),
            refused: Family::default(),
            associations: Family::default(),
            requests: Family::default(),
            jobs: Family::default(),
            stages: Family::new_with_constructor(|| Histogram::new(STAGE_BUCKETS_S)),
            deliveries: Family::default(),
            priors: Family::default(),
            gauges: Gauges::default(),
        };
        metrics.register();
        metrics.gauges.register(&mut metrics.registry);
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let (name, help) = ("instances_received", "Instances that were kept");
        registry.register(name, help, self.received.clone());
        let (name, help) = ("instances_refused", "Instances that were not taken");
        registry.register(name, help, self.refused.clone());
        let (name, help) = ("associations", "DICOM associations");
        registry.register(name, help, self.associations.clone());
        let (name, help) = ("http_requests", "HTTP requests");
        registry.register(name, help, self.requests.clone());
        let (name, help) = ("jobs", "Runs of a study");
        registry.register(name, help, self.jobs.clone());
        let (name, help) = ("stage_seconds", "Duration of a stage of a run");
        registry.register(name, help, self.stages.clone());
        let (name, help) = ("deliveries", "Attempts to deliver results");
        registry.register(name, help, self.deliveries.clone());
        let (name, help) = (
            "priors",
            "Earlier studies that came, and attempts that failed",
        );
        registry.register(name, help, self.priors.clone());
    }

    /// An instance was kept.
    pub fn instance_received(&self) {
        self.received.inc();
    }

    /// An instance was not taken; `code` is that of the refusal.
    pub fn instance_refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code)]).inc();
    }

    /// An association ended or was rejected.
    pub fn association(&self, outcome: &'static str) {
        let label = [("outcome", outcome)];
        self.associations.get_or_create(&label).inc();
    }

    /// A request was answered; `route` is its pattern, never its path.
    pub(super) fn request(&self, route: &str, status: u16) {
        let labels = [("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// A run ended: `done`, `superseded`, `failed`, or `failed-for-now` where it is tried again.
    pub fn job(&self, outcome: &'static str) {
        self.jobs.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A stage of a run took so long.
    pub fn stage(&self, stage: &'static str, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.stages
            .get_or_create(&[("stage", stage)])
            .observe(seconds);
    }

    /// Results were sent: `delivered`, or the code of the failure.
    pub fn delivery(&self, destination: &str, outcome: &'static str) {
        let labels = [
            ("destination", destination.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        self.deliveries.get_or_create(&labels).inc();
    }

    /// An earlier study came: `fetched`; or the code of a failure.
    pub(super) fn prior(&self, outcome: &'static str) {
        self.priors.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// All in Prometheus' text format; the gauges are those of `status`, where it is known.
    ///
    /// # Errors
    /// A value that the format cannot hold; none of ours is one.
    pub fn encode(&self, status: Option<&Status>) -> Result<String, std::fmt::Error> {
        match status {
            Some(status) => self.gauges.set(status),
            None => drop(self.gauges.ready.set(0)),
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let (name, help) = ("ready", "1 where studies can be taken and worked on");
        registry.register(name, help, self.ready.clone());
        let (name, help) = ("studies", "Studies by state");
        registry.register(name, help, self.studies.clone());
        let (name, help) = (
            "oldest_waiting_seconds",
            "Age of the oldest study that waits for a device",
        );
        registry.register(name, help, self.oldest_waiting_s.clone());
        let (name, help) = (
            "dead_letters",
            "Studies that were given up, by their last failure",
        );
        registry.register(name, help, self.dead_letters.clone());
        let (name, help) = (
            "deliveries_waiting",
            "Studies whose results have not arrived",
        );
        registry.register(name, help, self.waiting.clone());
        let (name, help) = ("delivery_failing", "1 where the last delivery failed");
        registry.register(name, help, self.failing.clone());
        let (name, help) = ("disk_free_bytes", "Free room on the node's disk");
        registry.register(name, help, self.free_bytes.clone());
        let (name, help) = (
            "priors_waiting",
            "Studies whose earlier studies are not here yet",
        );
        registry.register(name, help, self.priors_waiting.clone());
        let (name, help) = (
            "priors_failed",
            "Studies whose earlier studies were given up",
        );
        registry.register(name, help, self.priors_failed.clone());
        let (name, help) = ("device_info", "Devices that networks run on");
        registry.register(name, help, self.devices.clone());
    }

    fn set(&self, status: &Status) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.ready.set(status.is_ready().into());
        let studies = status.studies;
        for (state, count) in [
            ("receiving", studies.receiving),
            ("queued", studies.queued),
            ("running", studies.running),
            ("done", studies.done),
            ("failed", studies.failed),
        ] {
            let label = [("state", state)];
            self.studies.get_or_create(&label).set(gauge(count));
        }
        self.oldest_waiting_s
            .set(gauge(status.oldest_waiting_s.unwrap_or(0)));
        self.free_bytes.set(gauge(status.disk.free_bytes));
        self.priors_waiting.set(gauge(status.priors.waiting));
        self.priors_failed.clear();
        for (code, count) in &status.priors.failed {
            let label = [("code", code.clone())];
            self.priors_failed.get_or_create(&label).set(gauge(*count));
        }
        self.dead_letters.clear();
        for (code, count) in &status.dead_letters {
            let label = [("code", code.clone())];
            self.dead_letters.get_or_create(&label).set(gauge(*count));
        }
        for (destination, delivery) in &status.deliveries {
            let label = [("destination", destination.clone())];
            self.waiting
                .get_or_create(&label)
                .set(gauge(delivery.waiting));
            let failing = delivery.failing.is_some().into();
            self.failing.get_or_create(&label).set(failing);
        }
        self.devices.clear();
        for device in &status.devices {
            let labels = [
                ("name", device.name.clone()),
                ("kind", device.kind.into()),
                ("fallback", device.is_fallback.to_string()),
            ];
            self.devices.get_or_create(&labels).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::status::{DeliveryStatus, DeviceStatus, Parts};

    #[test]
    fn counters_and_the_status_are_written_in_prometheus_text() {
        let metrics = Metrics::new();
        metrics.instance_received();
        metrics.instance_refused("other-content");
        metrics.delivery("pacs", "delivered");
        metrics.prior("fetched");
        metrics.stage("network", Duration::from_millis(2500));
        let mut status = Status {
            parts: Parts {
                worker: true,
                database: true,
                disk: true,
            },
            ..Status::default()
        };
        status.studies.queued = 3;
        status.dead_letters.insert("not-readable".into(), 2);
        status.priors.waiting = 5;
        status.priors.failed.insert("peer-status".into(), 6);
        status.devices.push(DeviceStatus {
            name: "GPU 0".into(),
            kind: "gpu",
            is_fallback: false,
        });
        status.deliveries.insert(
            "pacs".into(),
            DeliveryStatus {
                waiting: 4,
                refused: 0,
                failing: Some("unreachable".into()),
            },
        );
        let text = metrics.encode(Some(&status)).expect("text");
        for line in [
            "hilum_instances_received_total 1",
            "hilum_instances_refused_total{code=\"other-content\"} 1",
            "hilum_deliveries_total{destination=\"pacs\",outcome=\"delivered\"} 1",
            "hilum_stage_seconds_bucket{le=\"3.0\",stage=\"network\"} 1",
            "hilum_ready 1",
            "hilum_priors_total{outcome=\"fetched\"} 1",
            "hilum_priors_waiting 5",
            "hilum_priors_failed{code=\"peer-status\"} 6",
            "hilum_studies{state=\"queued\"} 3",
            "hilum_dead_letters{code=\"not-readable\"} 2",
            "hilum_deliveries_waiting{destination=\"pacs\"} 4",
            "hilum_delivery_failing{destination=\"pacs\"} 1",
            "hilum_device_info{name=\"GPU 0\",kind=\"gpu\",fallback=\"false\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_status_that_is_not_known_is_not_ready_and_a_dead_letter_that_is_gone_is_not_shown() {
        let metrics = Metrics::new();
        let mut status = Status::default();
        status.dead_letters.insert("not-readable".into(), 2);
        metrics.encode(Some(&status)).expect("text");
        let text = metrics.encode(Some(&Status::default())).expect("text");
        assert!(!text.contains("not-readable"));
        assert!(
            metrics
                .encode(None)
                .expect("text")
                .contains("hilum_ready 0")
        );
    }
}
