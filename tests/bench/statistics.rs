//! The arithmetic of `make bench`: what is said of numbers that chance has a part in.

/// The middle of what was measured, and the quarters around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one number.
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            low: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            high: quantile(&sorted, 0.75),
        }
    }
}

/// Between the two numbers that are nearest, as far as the share says.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places in the list")]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The number that such a share of all is no larger than.
pub(crate) fn quantile_of(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, share)
}

/// What each round of one arm cost more than the same round of another: a change of the host between rounds is in both.
pub(crate) fn added(arm: &[f64], plain: &[f64]) -> Spread {
    let differences: Vec<f64> = arm.iter().zip(plain).map(|(arm, plain)| arm - plain).collect();
    Spread::of(&differences)
}

/// By how much one takes longer than the median of another, where no two messages belong together.
pub(crate) fn longer(arm: Spread, plain: Spread) -> Spread {
    let less = |time: f64| time - plain.median;
    Spread { low: less(arm.low), median: less(arm.median), high: less(arm.high) }
}

/// The median of one as a share of that of another.
pub(crate) fn ratio(part: Spread, whole: Spread) -> f64 {
    part.median / whole.median
}
