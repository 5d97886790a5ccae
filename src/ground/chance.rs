//! Chance without a generator: a draw is a hash of what it is for.
//!
//! The pure floors may not draw random numbers. They are given a seed once and
//! derive every draw from it and from a counter, so a restart draws the same
//! and a test can repeat what it saw.

/// Returns a number in `0.0..1.0` for the draw numbered `counter` under `seed`.
///
/// The mixing is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub fn draw(seed: u64, counter: u64) -> f64 {
    let mut mixed = seed ^ counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn draws_are_spread_over_the_unit_interval() {
        let mut tenths = [0; 10];
        for counter in 0..10_000 {
            tenths[(draw(42, counter) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| (850..1150).contains(&count)), "{tenths:?}");
    }
}
