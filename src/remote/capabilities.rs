//! What a server says it can do, asked once when it is connected to.
//! Knows nothing of what is then asked of it.

use std::ops::RangeInclusive;

use super::api::{
    self, PriorityCapabilities, ServerCapabilities, compressor::Value::Zstd, digest_function::Value::Sha256,
};

/// gRPC's own limit to a message, unless a server says otherwise; none of those we know does.
pub(super) const MESSAGE: usize = 4 << 20;

/// What is left of a message for all that is not counted: field numbers, the instance's name.
const SLACK: usize = 16 << 10;

/// The parts of the API's `ServerCapabilities` that decide something here.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Most bytes in one batch of blobs, their digests included: of the server's and of gRPC's limit the lower.
    pub batch_bytes: usize,
    /// Most bytes in one blob; 0: the server does not say.
    pub blob_bytes: u64,
    /// Whether blobs in a batch may be compressed with zstd.
    pub batch_zstd: bool,
    /// Whether a stream may be compressed with zstd.
    pub stream_zstd: bool,
    /// Whether we may put results into its action cache.
    pub can_remember: bool,
    /// Whether it executes.
    pub executes: bool,
    /// The priorities it takes, the lowest numbers served first; none: it has no priorities.
    pub priorities: Vec<RangeInclusive<i32>>,
}

impl Capabilities {
    /// What is lacking is named where it is needed for anything at all.
    pub(super) fn of(server: &ServerCapabilities) -> Result<Capabilities, &'static str> {
        let cache = server
            .cache_capabilities
            .clone()
            .ok_or("a content-addressable storage")?;
        if !cache.digest_functions.contains(&(Sha256 as i32)) {
            return Err("SHA256 digests");
        }
        let execution = server.execution_capabilities.clone().unwrap_or_default();
        // The list is younger than the single value.
        let executes_sha256 =
            execution.digest_function == Sha256 as i32 || execution.digest_functions.contains(&(Sha256 as i32));
        let batch = usize::try_from(cache.max_batch_total_size_bytes)
            .ok()
            .filter(|most| *most > 0);
        let zstd = Zstd as i32;
        Ok(Capabilities {
            batch_bytes: batch
                .map_or(MESSAGE, |most| most.min(MESSAGE))
                .saturating_sub(SLACK)
                .max(SLACK),
            blob_bytes: cache.max_cas_blob_size_bytes.try_into().unwrap_or(0),
            batch_zstd: cache.supported_batch_update_compressors.contains(&zstd),
            stream_zstd: cache.supported_compressors.contains(&zstd),
            can_remember: cache
                .action_cache_update_capabilities
                .is_some_and(|update| update.update_enabled),
            executes: execution.exec_enabled && executes_sha256,
            priorities: execution.execution_priority_capabilities.map_or_else(Vec::new, ranges),
        })
    }

    /// The nearest priority that the server takes.
    pub(super) fn priority(&self, wanted: i32) -> i32 {
        self.priorities
            .iter()
            .map(|range| wanted.clamp(*range.start(), *range.end()))
            .min_by_key(|taken| taken.abs_diff(wanted))
            .unwrap_or(0)
    }
}

fn ranges(capabilities: PriorityCapabilities) -> Vec<RangeInclusive<i32>> {
    let ranges = capabilities.priorities.into_iter();
    ranges
        .map(|range: api::priority_capabilities::PriorityRange| range.min_priority..=range.max_priority)
        .filter(|range| !range.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(digest: i32, batch: i64) -> ServerCapabilities {
        ServerCapabilities {
            cache_capabilities: Some(api::CacheCapabilities {
                digest_functions: vec![digest],
                max_batch_total_size_bytes: batch,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_server_without_sha256_is_named_so() {
        let blake3 = api::digest_function::Value::Blake3 as i32;
        assert_eq!(Capabilities::of(&server(blake3, 0)).unwrap_err(), "SHA256 digests");
        assert!(Capabilities::of(&ServerCapabilities::default()).is_err());
    }

    #[test]
    fn a_batch_fits_the_servers_limit_and_grpcs() {
        let batch = |limit| Capabilities::of(&server(Sha256 as i32, limit)).unwrap().batch_bytes;
        assert!(batch(0) < MESSAGE && batch(64 << 20) == batch(0));
        assert!(batch(1 << 20) < 1 << 20);
    }

    #[test]
    fn a_priority_is_brought_into_what_the_server_takes() {
        let mut capabilities = Capabilities::of(&server(Sha256 as i32, 0)).unwrap();
        assert_eq!(capabilities.priority(-5), 0);
        capabilities.priorities = vec![-10..=-8, 0..=20];
        for (wanted, taken) in [(-100, -10), (-9, -9), (-1, 0), (7, 7), (100, 20)] {
            assert_eq!(capabilities.priority(wanted), taken);
        }
    }
}
