//! Where the switch reads its clocks: nowhere else. The monotonic one is the runtime's, so that simulated time drives it.

use sip::clock::{Instant, Now, Wall};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant as Monotonic;

/// Both clocks, now. The monotonic origin is the first call of this function in the process.
#[must_use]
pub fn now() -> Now {
    static ORIGIN: OnceLock<Monotonic> = OnceLock::new();
    let elapsed = ORIGIN.get_or_init(Monotonic::now).elapsed();
    // The origin lies one second after zero, so that "a moment before now" is always expressible.
    let mono = Instant::from_micros(1_000_000 + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX / 2));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono, wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
}
