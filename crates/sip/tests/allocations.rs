//! What reading a message costs: allocations are counted, since they are what made other parsers slow.

#![allow(unsafe_code, reason = "a global allocator that counts cannot be written otherwise")]
#![allow(clippy::expect_used, reason = "a test")]

use bytes::Bytes;
use sip::peek::Peek;
use sip::{Message, Name};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations<T>(what: impl FnOnce() -> T) -> (u32, T) {
    let before = COUNT.get();
    let result = what();
    (COUNT.get() - before, result)
}

/// As a carrier sends it: 15 headers, a body with a session description.
fn invite() -> Bytes {
    let sdp = "v=0\r\no=- 20518 0 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 54400 RTP/AVP 8 0 18 101\r\n\
               a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    Bytes::from(format!(
        "INVITE sip:+442071838750@sbc.example.net:5060;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bK-1;rport\r\n\
         Max-Forwards: 69\r\nRecord-Route: <sip:203.0.113.2;lr>\r\nFrom: \"Ann\" <sip:+441632960961@example.net>;tag=9fxced76sl\r\n\
         To: <sip:+442071838750@sbc.example.net>\r\nCall-ID: 3848276298220188511@203.0.113.1\r\nCSeq: 2 INVITE\r\n\
         Contact: <sip:+441632960961@203.0.113.1:5060;transport=udp>\r\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK\r\n\
         Supported: 100rel, timer\r\nSession-Expires: 1800\r\nP-Asserted-Identity: <sip:+441632960961@example.net>\r\n\
         User-Agent: carrier/1.0\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    ))
}

#[test]
fn an_invite_is_read_with_two_allocations() {
    let bytes = invite();
    assert!((800..1_100).contains(&bytes.len()), "{}", bytes.len());
    let (count, message) = allocations(|| Message::parse(bytes).expect("valid"));
    assert!(count <= 2, "{count} allocations");
    let (count, checked) = allocations(|| message.check());
    assert_eq!((count, checked), (0, Ok(())));
    let (count, read) = allocations(|| {
        (message.cseq(), message.from_tag(), message.contact(), message.lists(Name::Supported, "timer"))
    });
    assert!(count == 0 && read.3, "{count} allocations");
}

#[test]
fn a_peek_allocates_nothing() {
    let bytes = invite();
    let (count, peek) = allocations(|| Peek::of(&bytes).is_some_and(|peek| peek.cseq() == Some(2)));
    assert_eq!((count, peek), (0, true));
}
