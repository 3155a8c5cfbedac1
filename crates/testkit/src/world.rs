//! Agents, the network and the node, and the clock that drives them.

use crate::agent::{Agent, Script};
use crate::net::{Faults, Net};
use crate::node::Node;
use crate::tables::{PARTNERS, view};
use sip::clock::{Instant, Now, Wall};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A caller, callees and the switch.
pub struct World {
    /// The time.
    pub now: Now,
    /// The network.
    pub net: Net,
    /// The switch.
    pub node: Node,
    /// The caller first, then the callees.
    pub agents: Vec<Agent>,
    /// The first line of everything that was sent to a switch that was gone.
    pub undelivered: Vec<String>,
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

impl World {
    /// A caller at 192.0.2.1 and callees from 192.0.2.2 on, over the tables of [`PARTNERS`].
    #[must_use]
    pub fn new(seed: u64, faults: Faults, caller: Script, callees: Vec<Script>) -> Self {
        let switch = at(100);
        let scripts = std::iter::once(caller).chain(callees);
        let agents = (1..).zip(scripts).map(|(last, script)| Agent::new(at(last), switch, script)).collect();
        let now = Now { mono: Instant::from_micros(40_000_000_000_000), wall: Wall(1_790_000_000_000) };
        Self {
            now,
            net: Net::new(seed, faults),
            node: Node::new(view(PARTNERS), switch, seed),
            agents,
            undelivered: Vec::new(),
        }
    }

    /// The caller.
    pub fn caller(&mut self) -> &mut Agent {
        &mut self.agents[0]
    }

    /// The first callee.
    pub fn callee(&mut self) -> &mut Agent {
        &mut self.agents[1]
    }

    /// The caller calls `number`.
    pub fn call(&mut self, number: &str) {
        let now = self.now;
        self.agents[0].call(now, number);
        self.flush();
    }

    /// An agent does something now.
    pub fn act(&mut self, agent: usize, act: impl FnOnce(&mut Agent, Now)) {
        let now = self.now;
        act(&mut self.agents[agent], now);
        self.flush();
    }

    /// Hands everything that agents have written to the network.
    pub fn flush(&mut self) {
        for agent in &mut self.agents {
            let from = agent.address;
            for (to, bytes) in agent.drain() {
                self.net.send(self.now.mono, from, to, bytes);
            }
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let agents = self.agents.iter().filter_map(Agent::poll_timeout);
        agents.chain(self.net.next_at()).chain(self.node.poll_timeout()).min()
    }

    /// Lets time pass until nothing is left to happen, or at most `limit`.
    pub fn run_for(&mut self, limit: Duration) {
        let end = self.now.mono + limit;
        while let Some(next) = self.next_at().filter(|next| *next <= end) {
            self.now = self.now.after(next.since(self.now.mono));
            while let Some(datagram) = self.net.receive(self.now.mono) {
                self.deliver(datagram.from, datagram.to, datagram.bytes);
                self.flush();
            }
            self.node.handle_timeout(self.now, &mut self.net);
            let now = self.now;
            for agent in &mut self.agents {
                if agent.poll_timeout().is_some_and(|due| due <= now.mono) {
                    agent.handle_timeout(now);
                }
            }
            self.flush();
        }
        if self.now.mono < end {
            self.now = self.now.after(end.since(self.now.mono));
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: bytes::Bytes) {
        let is_switch = to == self.node.address;
        if is_switch && !self.node.is_dead {
            self.node.receive(self.now, &mut self.net, from, bytes);
        } else if let Some(agent) = self.agents.iter_mut().find(|agent| agent.address == to) {
            agent.receive(self.now, from, bytes);
        } else {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            self.undelivered.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    /// The switch dies; another one takes its calls over, from another address. `silent_for` is what it believes of their
    /// media.
    pub fn fail_over(&mut self, silent_for: Duration) {
        self.fail_over_to(silent_for, false);
    }

    /// [`Self::fail_over`], to a switch whose checkpoints get lost.
    pub fn fail_over_to(&mut self, silent_for: Duration, unprotected: bool) {
        let last = match self.node.address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        self.node.fail_over(self.now, &mut self.net, at(last + 1), silent_for, unprotected);
        for agent in &mut self.agents {
            agent.peer = self.node.address;
        }
        self.flush();
    }

    /// What must hold once every call is over, however it went.
    ///
    /// # Panics
    /// It does not hold; the ladder says how it came to that.
    pub fn assert_settled(&self) {
        self.assert_settled_for(0);
    }

    /// [`Self::assert_settled`], naming the seed that has to be tried again.
    ///
    /// # Panics
    /// It does not hold.
    pub fn assert_settled_for(&self, seed: u64) {
        let (node, trace) = (&self.node, format!("seed {seed}\n{}", self.trace()));
        let made = node.made - node.lost;
        assert_eq!(node.finals.len() as u64, made, "one final response a call\n{:?}\n{trace}", node.finals);
        let opened: BTreeSet<_> = node.opened.iter().map(|row| (row.call, row.attempt)).collect();
        let closed: BTreeSet<_> = node.rows.iter().map(|row| (row.call, row.attempt)).collect();
        assert!(opened.is_subset(&closed), "what was opened is closed\n{:?}\n{trace}", node.rows);
        self.assert_balanced_for(seed);
    }

    /// What of it must hold even where a node died in the midst of a turn: it may have answered the caller without a record
    /// of that, and left a row open, which is closed as it is when it comes back.
    ///
    /// # Panics
    /// It does not hold.
    pub fn assert_balanced_for(&self, seed: u64) {
        let (node, trace) = (&self.node, format!("seed {seed}\n{}", self.trace()));
        let made = node.made - node.lost;
        assert!(self.agents[0].seen.setup_finals <= 1, "one final response\n{trace}");
        assert_eq!(node.wire.faults, [""; 0], "what is sent\n{trace}");
        assert_eq!(node.ended, made, "every call ends\n{trace}");
        assert!(node.books.is_balanced(), "everything is given back\n{:?}\n{trace}", node.books);
        let finals = node.rows.iter().filter(|row| row.is_final).count() as u64;
        assert_eq!(finals, made, "one final row a call\n{trace}");
        let opened: BTreeSet<_> = node.opened.iter().map(|row| (row.call, row.attempt)).collect();
        let begun = node.opened.iter().filter(|row| row.is_final);
        let begun: BTreeSet<_> = begun.map(|row| (row.call, row.attempt, row.takeovers)).collect();
        assert!(begun.len() >= opened.len(), "an answered row opens as the last one\n{trace}");
        let closings = node.opened.iter().filter(|row| row.is_final).count();
        assert!(node.lapsed || begun.len() == closings, "it opens once on each node\n{trace}");
        let closed: BTreeSet<_> = node.rows.iter().map(|row| (row.call, row.attempt)).collect();
        assert_eq!(closed.len(), node.rows.len(), "a row closes once\n{:?}\n{trace}", node.rows);
    }

    /// The ladder of everything that was sent, for a failed test.
    #[must_use]
    pub fn trace(&self) -> String {
        self.net.trace.join("\n")
    }
}
