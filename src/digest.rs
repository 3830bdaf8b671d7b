//! SHA-256 in hexadecimal, as every file, key and lock has it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Returns the digest of these bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the digest of what a hasher was given.
pub fn ended(hasher: Sha256) -> String {
    hex(&hasher.finalize())
}

/// Returns bytes in hexadecimal, two digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the digest of numbers: of their bytes, each an f64 with the lowest byte first.
pub fn of_numbers(numbers: &[f64]) -> String {
    let mut hasher = Sha256::new();
    for number in numbers {
        hasher.update(number.to_le_bytes());
    }
    ended(hasher)
}
