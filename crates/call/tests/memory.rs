//! What a call keeps: a node holds hundreds of thousands that do nothing but talk.

#![allow(unsafe_code, reason = "a global allocator that counts cannot be written otherwise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use testkit::{Faults, Script, World};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: usize, sign: isize) {
    let bytes = isize::try_from(bytes).unwrap_or(isize::MAX) * sign;
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that go with the only call, its own size included.
fn weight(world: &mut World) -> usize {
    let before = LIVE.get();
    let call = world.node.calls.pop().expect("one call");
    let own = size_of_val(&call);
    drop(call);
    own + usize::try_from(before - LIVE.get()).expect("it held something")
}

fn talking(after: Duration) -> World {
    let mut world = World::new(4, Faults::default(), Script::default(), vec![Script::default()]);
    world.call("442071230000");
    world.run_for(after);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    world
}

#[test]
fn an_answered_call_is_small_while_its_transactions_last_and_smaller_after() {
    let lasting = weight(&mut talking(Duration::from_secs(10)));
    assert!(lasting < 5_700, "{lasting} bytes");
    let held = weight(&mut talking(Duration::from_secs(60)));
    assert!(held < 3_500, "{held} bytes");
}

#[test]
fn a_checkpoint_has_no_room_to_spare() {
    let world = talking(Duration::from_secs(60));
    let checkpoint = world.node.calls[0].checkpoint(world.now);
    assert!(checkpoint.len() > 500 && checkpoint.capacity() == checkpoint.len(), "{}", checkpoint.capacity());
}
