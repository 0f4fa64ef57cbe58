//! `/metrics` for Prometheus: what the view of the job says at the moment of the scrape. Nothing is
//! counted here.

mod exposition;
mod families;

use std::fmt;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::exposition::Exposition;
use super::Shared;
use super::answer::{Answer, Refusal};
use crate::jobs::view::JobView;

/// The text format of Prometheus, in which a counter's name ends with `_total` everywhere.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn router() -> Router<Shared> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<Shared>) -> Answer {
    let text = exposed(app.control.view()).map_err(|error| {
        Refusal::internal(format!("the metrics cannot be written as text: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

fn exposed(view: JobView) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(OneLook(view)));
    let mut written = String::new();
    // Without the mark of the end, which is of OpenMetrics.
    text::encode_registry(&mut written, &registry)?;
    Ok(written)
}

#[derive(Debug)]
struct OneLook(JobView);

impl Collector for OneLook {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        families::write(&self.0, &mut Exposition::new(encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_one_name_and_a_histogram_its_parts() {
        #[derive(Debug)]
        struct Few;
        impl Collector for Few {
            fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
                let mut to = Exposition::new(encoder);
                let mut timings = crate::runtime::progress::timings::Timings::default();
                timings.add(std::time::Duration::from_secs(45));
                to.counter("read_total", "Read.", Some(7_u64))?;
                to.gauges("none", "Never there.", [([("a", "b")], 1_u64); 0])?;
                to.gauges("place", "Where.", [([("topic", "a\"b\\c")], -2_i64)])?;
                to.histograms("took_seconds", "How long.", [([("of", "x")], &timings)])
            }
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Few));
        let mut written = String::new();
        text::encode_registry(&mut written, &registry).unwrap();
        let (plain, histogram) = written.split_once("# HELP took_seconds").unwrap();
        assert_eq!(
            plain,
            "# HELP read_total Read.\n# TYPE read_total counter\nread_total 7\n\
             # HELP place Where.\n# TYPE place gauge\nplace{topic=\"a\\\"b\\\\c\"} -2\n"
        );
        for line in [
            "# TYPE took_seconds histogram",
            "took_seconds_sum{of=\"x\"} 45.0",
            "took_seconds_count{of=\"x\"} 1",
            "took_seconds_bucket{le=\"30.0\",of=\"x\"} 0",
            "took_seconds_bucket{le=\"60.0\",of=\"x\"} 1",
            "took_seconds_bucket{le=\"+Inf\",of=\"x\"} 1",
        ] {
            assert!(histogram.lines().any(|l| l == line), "{line}: {histogram}");
        }
    }
}
