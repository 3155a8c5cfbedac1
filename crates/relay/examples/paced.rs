//! Measures the relay at a paced load: sessions of one audio stream, 50 packets a second in each direction, all in one
//! process, and prints the CPU time of the packet threads for each relayed packet.
//!
//! `cargo run --release -p relay --example paced -- [SESSIONS] [SECONDS] [WORKERS] [HELD]`; HELD more sessions carry no
//! audio, to see what they weigh. The load generator is a thread of its own, whose time is not counted.
#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use relay::{Event, Gauges, Options, Relay, Side, SideStats, Update};
use socket2::{Domain, SockRef, Socket, Type};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const FRAME: Duration = Duration::from_millis(20);
const PACKET_BYTES: usize = 172;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (sessions, seconds, workers, held) = (next(500)?, next(10)?, next(1)?, next(0)?);
    let addresses = (1..=4).map(|n| Ipv4Addr::new(127, 0, 8, n).into()).collect();
    let mut options = Options::new(addresses, 20000..=59999);
    options.workers = workers;
    println!("descriptors needed: {}", options.descriptors_for((sessions + held) as u64));
    let relay = Relay::start(options)?;
    let parties = [party()?, party()?];

    let before = resident_kb()?;
    let mut ports = Vec::with_capacity(sessions);
    let mut ids = Vec::new();
    let (sender, ended) = channel();
    let mut allocating = Duration::ZERO;
    for n in 0..sessions + held {
        let (sender, began) = (sender.clone(), Instant::now());
        let allocation = relay.handle().allocate(1, Box::new(move |event| drop(sender.send(event))))?;
        allocating += began.elapsed();
        for side in Side::BOTH {
            let remote = parties[side.index()].local_addr()?;
            while relay.handle().update(allocation.id, Update::new(0, side, Some(remote))).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if n < sessions {
            ports.push(allocation.local[0]);
            ids.push(allocation.id);
        }
    }
    std::thread::sleep(Duration::from_millis(200));
    let grown = resident_kb()?.saturating_sub(before);
    let one_us = allocating.as_micros() / (sessions + held).max(1) as u128;
    println!("user memory: {grown} KB for {} sessions; {one_us} µs to allocate one", sessions + held);

    let (stop, received) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let load = scope.spawn(|| generate(&parties, &ports, &stop, &received));
        std::thread::sleep(Duration::from_secs(2));
        for _ in 0..3 {
            let (from, from_received) = (relay.handle().gauges(), received.load(Ordering::Relaxed));
            let began = Instant::now();
            std::thread::sleep(Duration::from_secs(seconds as u64));
            let arrived = received.load(Ordering::Relaxed) - from_received;
            print_span(&from, &relay.handle().gauges(), arrived, began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        print_delay(load.join().map_err(|_| "the generator panicked")?);
        Ok(())
    })?;
    ids.iter().for_each(|id| relay.handle().release(*id));
    relay.stop();
    print_quality(&ended.try_iter().collect::<Vec<_>>());
    Ok(())
}

/// From the sending to when the generator looked, which it does some five times a millisecond.
fn print_delay(mut delays_us: Vec<u32>) {
    delays_us.sort_unstable();
    let at = |percent: usize| delays_us.get(delays_us.len() * percent / 100).copied().unwrap_or(0);
    println!("delay through the relay: p50 {} µs, p99 {} µs", at(50), at(99));
}

/// What the call records would say: all that the generator, the machine and the naps did to the audio.
fn print_quality(events: &[Event]) {
    let stats = events.iter().filter_map(|event| if let Event::Released(stats) = event { Some(stats) } else { None });
    let sides: Vec<_> = stats.filter_map(|stats| stats.side(Side::A)).filter(|side| side.packets > 0).collect();
    let worst = |figure: fn(&SideStats) -> f32| sides.iter().map(|side| figure(side)).fold(0.0, f32::max);
    println!(
        "worst of {}: jitter {:.2} ms, loss {:.3} %; lowest MOS {:.2}",
        sides.len(),
        worst(|side| side.jitter_ms),
        worst(|side| side.loss_percent),
        5.0 - worst(|side| 5.0 - side.mos),
    );
}

fn print_span(from: &Gauges, to: &Gauges, arrived: u64, took: Duration) {
    let packets = to.packets - from.packets;
    let cpu_us = (to.cpu.saturating_sub(from.cpu)).as_secs_f64() * 1e6;
    println!(
        "{:.0} packets/s relayed, {:.0}/s arrived, {:.2} µs CPU a packet, {:.1} % of a core, {} dropped",
        packets as f64 / took.as_secs_f64(),
        arrived as f64 / took.as_secs_f64(),
        cpu_us / packets.max(1) as f64,
        cpu_us / took.as_secs_f64() / 1e4,
        to.drops.iter().sum::<u64>() - from.drops.iter().sum::<u64>(),
    );
}

/// One socket plays a side of every session: the relay tells them apart by its own ports.
fn party() -> Result<UdpSocket, Box<dyn Error>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), None)?;
    SockRef::from(&socket).set_recv_buffer_size(8 << 20)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 8, 100), 0)).into())?;
    Ok(socket.into())
}

/// Sends what is due, reads what came back, sleeps a little: the frames of the sessions are spread over 20 ms.
fn generate(parties: &[UdpSocket; 2], ports: &[[SocketAddr; 2]], stop: &AtomicBool, received: &AtomicU64) -> Vec<u32> {
    let (began, mut buffer, mut delays_us) = (Instant::now(), [0; 2048], Vec::new());
    let mut packet = [0_u8; PACKET_BYTES];
    let total = ports.len() as u128 * 2;
    let mut sent = 0_u128;
    while !stop.load(Ordering::Relaxed) && total > 0 {
        let due = began.elapsed().as_nanos() * total / FRAME.as_nanos();
        while sent < due {
            let (round, place) = ((sent / total) as u32, (sent % total) as usize);
            let side = place % 2;
            packet[..12].copy_from_slice(&header(round, place as u32));
            packet[12..16].copy_from_slice(&(began.elapsed().as_micros() as u32).to_be_bytes());
            let _ = parties[side].send_to(&packet, ports[place / 2][side]);
            sent += 1;
        }
        let (mut count, now_us) = (0, began.elapsed().as_micros() as u32);
        for socket in parties {
            while socket.recv_from(&mut buffer).is_ok() {
                count += 1;
                let sent_us = u32::from_be_bytes([buffer[12], buffer[13], buffer[14], buffer[15]]);
                delays_us.push(now_us.saturating_sub(sent_us));
            }
        }
        received.fetch_add(count, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(150));
    }
    delays_us
}

fn header(round: u32, ssrc: u32) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = 0x80;
    header[2..4].copy_from_slice(&(round as u16).to_be_bytes());
    header[4..8].copy_from_slice(&round.wrapping_mul(160).to_be_bytes());
    header[8..12].copy_from_slice(&ssrc.to_be_bytes());
    header
}

fn resident_kb() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}
