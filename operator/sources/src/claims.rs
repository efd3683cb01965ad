//! What this process wrote last of each state that it claimed.
//!
//! The epoch alone does not fence: a state that was forgotten counts from 1 again, and a run of the forgotten one could commit into
//! the new one. So the SQL stores compare the whole head: its document holds the state's incarnation, which is random.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use backflow_core::state::Head;

/// The last heads, by state key.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<String, Head>>);

impl Claims {
    /// What the claim of this epoch wrote last, if it is ours.
    pub(crate) fn last(&self, state_key: &str, epoch: u64) -> Option<Head> {
        self.lock().get(state_key).filter(|head| head.epoch == epoch).cloned()
    }

    /// This head is stored.
    pub(crate) fn wrote(&self, state_key: &str, head: &Head) {
        self.lock().insert(state_key.to_owned(), head.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
