//! Hashes that every worker and every rutter makes alike, also in the next version: what is hashed
//! decides which endpoint a client stays with.

use super::rng::mix;

/// FNV-1a, and a last mixing that makes all bits depend on all others. Not for secrets.
pub fn hash_of(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}
