//! SHA-256 as text: in slots, and as the name of a schema.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// 64 lower-case hexadecimal digits.
pub fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
