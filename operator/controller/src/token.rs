//! Random tokens.

use std::fmt::Write as _;

use crate::error::Error;

/// 128 random bits in hex: what a run's progress port wants to hear. From the TLS provider's generator, so that the program has one
/// source of randomness.
///
/// # Errors
/// If the system gives no random numbers.
pub fn random() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_differ() {
        let (a, b) = (super::random().unwrap(), super::random().unwrap());
        assert_eq!(a.len(), 32);
        assert_ne!(a, b);
    }
}
