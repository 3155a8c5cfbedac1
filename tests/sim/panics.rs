//! A panic anywhere is a fault, also where the runtime would have caught it.

use std::sync::{Mutex, PoisonError};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes every panic from now on.
pub(crate) fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{panic}"));
    }));
}

/// Those since the last look.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}
