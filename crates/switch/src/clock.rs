//! Where the switch reads its clocks: nowhere else. The monotonic one is the runtime's, so that simulated time drives it.

use sip::clock::{Instant, Now, Wall};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant as Monotonic;

/// A year: longer than any call.
const ORIGIN_AT_MICROS: u64 = 365 * 24 * 3_600 * 1_000_000;

/// Both clocks, now. The monotonic origin is the first call of this function in the process.
#[must_use]
pub fn now() -> Now {
    static ORIGIN: OnceLock<Monotonic> = OnceLock::new();
    let elapsed = ORIGIN.get_or_init(Monotonic::now).elapsed();
    // The origin lies far behind zero: a call that is taken over was answered long before this process began.
    let mono = Instant::from_micros(ORIGIN_AT_MICROS + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX / 2));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono, wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
}
