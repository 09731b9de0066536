//! How long changes take.

use std::time::Duration;

use serde::Serialize;

use crate::quantile::quantile;

/// The times of one change, from the start of the write to the API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Until the API server has answered.
    pub(super) written: Duration,
    /// Until the kernel has the change.
    pub(super) arrived: Duration,
}

/// How long changes took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The number of changes.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The maximum.
    pub most_ms: f64,
    /// The median of the time until the API server had answered the write.
    pub api_write_p50_ms: f64,
}

impl Latency {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let arrived: Vec<_> = samples.iter().map(|sample| sample.arrived).collect();
        let written: Vec<_> = samples.iter().map(|sample| sample.written).collect();
        Self {
            count: samples.len(),
            p50_ms: quantile_ms(&arrived, 0.5),
            p95_ms: quantile_ms(&arrived, 0.95),
            most_ms: quantile_ms(&arrived, 1.0),
            api_write_p50_ms: quantile_ms(&written, 0.5),
        }
    }
}

/// A quantile in milliseconds; 0 if there are no samples.
fn quantile_ms(samples: &[Duration], share: f64) -> f64 {
    let samples: Vec<f64> = samples.iter().map(|duration| duration.as_secs_f64() * 1000.0).collect();
    quantile(&samples, share).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let samples: Vec<_> = (1..=50).rev().map(Duration::from_millis).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|share| quantile_ms(&samples, share)), [25.0, 48.0, 50.0]);
        assert_eq!(quantile_ms(&[], 0.5), 0.0);
    }
}
