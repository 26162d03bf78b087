#[path = "../bench/statistics.rs"]
mod statistics;

use statistics::{Spread, added, longer, quantile_of, ratio};

#[test]
fn the_median_of_an_even_number_is_between_the_middle_two() {
    assert_eq!(Spread::of(&[4.0, 1.0, 3.0, 2.0]).median, 2.5);
    assert_eq!(Spread::of(&[30.0, 10.0, 20.0]).median, 20.0);
    assert_eq!(Spread::of(&[7.0]), Spread { low: 7.0, median: 7.0, high: 7.0 });
}

#[test]
fn quartiles_have_a_quarter_of_the_numbers_on_their_far_side() {
    let numbers: Vec<f64> = (1..=101).rev().map(f64::from).collect();
    assert_eq!(Spread::of(&numbers), Spread { low: 26.0, median: 51.0, high: 76.0 });
    assert_eq!(Spread::of(&[1.0, 2.0]), Spread { low: 1.25, median: 1.5, high: 1.75 });
}

#[test]
fn ninety_nine_of_a_hundred_are_below_the_last_percentile() {
    let numbers: Vec<f64> = (1..=101).rev().map(f64::from).collect();
    assert_eq!(quantile_of(&numbers, 0.5), 51.0);
    assert_eq!(quantile_of(&numbers, 0.99), 100.0);
}

#[test]
fn one_outlier_moves_no_median() {
    assert_eq!(Spread::of(&[1.0, 1.0, 1.0, 1.0, 1e9]).median, 1.0);
}

#[test]
fn what_is_added_is_the_difference_in_each_round() {
    let (arm, plain) = ([12.0, 112.0, 22.0], [10.0, 110.0, 20.0]);
    assert_eq!(added(&arm, &plain), Spread { low: 2.0, median: 2.0, high: 2.0 });
}

#[test]
fn what_takes_longer_is_compared_with_the_median() {
    let plain = Spread { low: 1.0, median: 2.0, high: 9.0 };
    let arm = Spread { low: 3.0, median: 5.0, high: 8.0 };
    assert_eq!(longer(arm, plain), Spread { low: 1.0, median: 3.0, high: 6.0 });
}

#[test]
fn a_ratio_is_of_the_medians() {
    let spread = |median| Spread { low: 0.0, median, high: 100.0 };
    assert_eq!(ratio(spread(3.0), spread(4.0)), 0.75);
}
