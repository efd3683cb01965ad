//! How long to wait where the destination does not say.

use std::time::Duration;

/// Waits that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// Before the second try.
    pub(crate) base: Duration,
    /// The longest.
    pub(crate) max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(5 * 60) }
    }
}

impl Backoff {
    /// The wait after try number `attempt` (from 1): the base doubled with each try, of which a random part (`random` in 0..1) between
    /// half and all is taken. Half is kept, so that the tries together always outlast a restart of the receiver.
    pub(crate) fn after(&self, attempt: u32, random: f64) -> Duration {
        let full = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.max);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_vary_in_their_upper_half() {
        let seconds = |attempt, random| Backoff::default().after(attempt, random).as_secs_f64();
        let lower: Vec<f64> = (1..=10).map(|attempt| seconds(attempt, 0.0)).collect();
        assert_eq!(lower, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0]);
        assert_eq!(seconds(4, 1.0), 8.0);
        assert_eq!(seconds(u32::MAX, 1.0), 300.0);
        assert!(seconds(3, 0.5) > 2.0 && seconds(3, 0.5) < 4.0);
        let other = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };
        assert_eq!(other.after(9, 1.0), Duration::from_secs(1));
    }
}
