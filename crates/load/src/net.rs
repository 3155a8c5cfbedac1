//! The system calls: batches of datagrams in and out, waiting, and pinning a thread. The only unsafe code here.
#![allow(unsafe_code, reason = "recvmmsg, sendmmsg, epoll and sched_setaffinity have no safe form in the library")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::Error;

/// Datagrams in one system call.
const BATCH: usize = 64;
/// The longest SIP datagram read; a longer one is cut and then refused as malformed.
const LONGEST: usize = 8192;
/// Socket buffers, so that a pause of the generator loses nothing.
const SOCKET_BUFFER: usize = 4 << 20;

/// A non-blocking UDP socket with large buffers.
pub(crate) fn bind(address: SocketAddr) -> Result<UdpSocket, Error> {
    let open = || -> io::Result<UdpSocket> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|source| Error::Bind { address, source })
}

/// Keeps the calling thread on one processor, so that the switch under test can have another one for itself.
///
/// # Errors
/// What `sched_setaffinity` says, for instance where there is no such processor.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is a plain bit set, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    if core >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `core` was checked to lie within the set; the set outlives the call.
    let result = unsafe {
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams that wait to be sent from one socket.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    items: Vec<(usize, usize, SocketAddr)>,
}

impl Outbox {
    /// Adds what `write` appends as one datagram to `to`.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.items.push((start, self.bytes.len(), to));
    }

    /// Sends everything. What the system refuses is lost, as on a network.
    pub(crate) fn flush(&mut self, socket: &UdpSocket) {
        let items = mem::take(&mut self.items);
        for batch in items.chunks(BATCH) {
            self.send_batch(socket, batch);
        }
        self.items = items;
        self.items.clear();
        self.bytes.clear();
    }

    fn send_batch(&self, socket: &UdpSocket, batch: &[(usize, usize, SocketAddr)]) {
        let names: Vec<socket2::SockAddr> = batch.iter().map(|&(_, _, to)| to.into()).collect();
        let mut vectors: Vec<libc::iovec> = batch
            .iter()
            .map(|&(start, end, _)| libc::iovec {
                iov_base: self.bytes[start..end].as_ptr().cast_mut().cast(),
                iov_len: end - start,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(batch.len());
        for (name, vector) in names.iter().zip(&mut vectors) {
            let mut header = empty_header();
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            headers.push(header);
        }
        let mut sent = 0;
        while sent < headers.len() {
            let rest = &mut headers[sent..];
            // SAFETY: every header points at a name, a vector and bytes that live until the end of this function.
            let count =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT) };
            // One that fails is skipped: retransmission is the protocol's business.
            sent += usize::try_from(count).unwrap_or(1).max(1);
        }
    }
}

/// Datagrams as they came, at most [`BATCH`] at a time.
pub(crate) struct Inbox {
    buffers: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    lengths: Vec<usize>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        // SAFETY: `sockaddr_storage` is plain data, for which all zeroes is the unspecified address.
        let empty: libc::sockaddr_storage = unsafe { mem::zeroed() };
        Self { buffers: vec![0; BATCH * LONGEST], names: vec![empty; BATCH], lengths: Vec::new() }
    }

    /// Reads what waits at the socket and returns how many datagrams that were.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        let mut vectors: Vec<libc::iovec> = self
            .buffers
            .chunks_exact_mut(LONGEST)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: LONGEST })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        for (name, vector) in self.names.iter_mut().zip(&mut vectors) {
            let mut header = empty_header();
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            headers.push(header);
        }
        // SAFETY: every header points at a name and a buffer of this inbox, which is borrowed for the whole call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.lengths.clear();
        self.lengths.extend(headers[..count].iter().map(|header| header.msg_len as usize));
        count
    }

    /// The datagram at `index` of the last batch, and where it came from.
    pub(crate) fn datagram(&self, index: usize) -> (&[u8], SocketAddr) {
        let start = index * LONGEST;
        let bytes = &self.buffers[start..start + self.lengths[index].min(LONGEST)];
        (bytes, address_of(&self.names[index]))
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is plain data; all zeroes means no name, no data, no control message.
    unsafe { mem::zeroed() }
}

fn address_of(name: &libc::sockaddr_storage) -> SocketAddr {
    if i32::from(name.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says that this storage holds a `sockaddr_in6`.
        let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
        return (IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)), u16::from_be(v6.sin6_port)).into();
    }
    // SAFETY: the sockets are IPv4 or IPv6, and `sockaddr_storage` is large enough for both.
    let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
    (IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))), u16::from_be(v4.sin_port)).into()
}

/// Waits for any of many sockets.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    /// A poller that reports at most `most` sockets at a time.
    pub(crate) fn new(most: usize) -> io::Result<Self> {
        // SAFETY: a plain system call; its result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is a new descriptor that nobody else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; most.max(1)] })
    }

    /// Reports `token` whenever `source` can be read. Closing the socket ends it.
    pub(crate) fn add(&self, source: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open and the event lives through the call.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, source.as_raw_fd(), &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits at most `timeout` (whole milliseconds) and adds the tokens of what can be read; `true` where more waits.
    pub(crate) fn wait(&mut self, timeout: Duration, tokens: &mut Vec<u64>) -> bool {
        let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let most = self.events.len();
        // SAFETY: the buffer has room for `most` events.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), most as i32, milliseconds) };
        let count = usize::try_from(count).unwrap_or(0);
        tokens.extend(self.events[..count].iter().map(|event| event.u64));
        count == most
    }
}

impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> i32 {
        self.epoll.as_raw_fd()
    }
}
