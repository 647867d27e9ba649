//! How many requests were made of the API server, by verb, resource and answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCount {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`: the API server's own words.
    pub verb: &'static str,
    /// `services`, `ciliumbgpnodeconfigs/status`.
    pub resource: String,
    /// `2xx`, `4xx`, `429`, `5xx`, or `error` when no answer came.
    pub code: &'static str,
    /// How many.
    pub count: u64,
}

/// All counters of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Counters>>);

type Counters = BTreeMap<(&'static str, String, &'static str), u64>;

impl Requests {
    /// Counts one request; no status when no answer came.
    pub(super) fn count(&self, verb: &'static str, resource: &str, status: Option<u16>) {
        let code = match status {
            None => "error",
            Some(429) => "429",
            Some(200..=299) => "2xx",
            Some(300..=499) => "4xx",
            Some(_) => "5xx",
        };
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry((verb, resource.to_owned(), code)).or_default() += 1;
    }

    pub(super) fn read(&self) -> Vec<RequestCount> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |((verb, resource, code), count): (&(&'static str, String, &'static str), &u64)| {
            RequestCount { verb, resource: resource.clone(), code, count: *count }
        };
        counters.iter().map(count).collect()
    }
}
