//! Holds the layers of the workspace: what a crate may depend on, and what its source may not say.
//!
//! A rule that only a page states is broken within a month, so each one here fails with the crate or the line that
//! breaks it and with the reason.

mod dependencies;
mod metrics;
mod source;
