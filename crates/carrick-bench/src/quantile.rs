//! Quantiles of samples.

/// The smallest sample such that this share of all samples does not exceed it; `None` if there are no samples.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=50).rev().map(f64::from).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|share| quantile(&samples, share)), [25.0, 48.0, 50.0].map(Some));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
