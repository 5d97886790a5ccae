//! The system's random number generator: the one place that draws from it.

/// Why there are no random bytes. It happens on no running Linux host, but a
/// salt must never be made of anything else.
#[derive(Debug, thiserror::Error)]
#[error("draw random bytes from the system; check that this process may call getrandom (seccomp filter)")]
pub struct EntropyError(#[source] getrandom::Error);

/// Fills some bytes with random ones.
///
/// # Errors
///
/// Says that the system refused.
#[expect(clippy::disallowed_methods, reason = "this is the adapter that owns the system's generator")]
pub fn fill(bytes: &mut [u8]) -> Result<(), EntropyError> {
    getrandom::fill(bytes).map_err(EntropyError)
}

/// Draws a seed for [`crate::ground::chance`].
///
/// # Errors
///
/// Says that the system refused.
pub fn seed() -> Result<u64, EntropyError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
