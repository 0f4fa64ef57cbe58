//! Families of metrics in the Prometheus text format, by `prometheus-client`.
//!
//! That crate writes OpenMetrics, where the family of the counter `x_total` is `x`; in the Prometheus
//! format it is `x_total`, too. So counters are given to it under their whole name and encoded as what
//! has no suffix. All else is the same in both formats.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::runtime::progress::timings::Timings;

pub struct Exposition<'a>(DescriptorEncoder<'a>);

impl<'a> Exposition<'a> {
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A value that goes up and down; what is not known is left out, here and below.
    pub fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> fmt::Result {
        self.one(MetricType::Gauge, name, help, value)
    }

    /// A value that only grows, until it begins anew.
    pub fn counter<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> fmt::Result {
        self.one(MetricType::Counter, name, help, value)
    }

    pub fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.many(MetricType::Gauge, name, help, samples)
    }

    pub fn counters<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.many(MetricType::Counter, name, help, samples)
    }

    pub fn histograms<'t, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'t Timings)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let kind = MetricType::Histogram;
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, timings) in samples {
            let buckets: Vec<_> = timings.buckets().collect();
            let (seconds, count) = (timings.seconds(), timings.count());
            let mut sample = family.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
        }
        Ok(())
    }

    fn one<V: EncodeGaugeValue>(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> fmt::Result {
        match value {
            Some(value) => {
                let mut family = self.0.encode_descriptor(name, help, None, kind)?;
                family.encode_gauge(&value)
            }
            None => Ok(()),
        }
    }

    fn many<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
