//! How an agent speaks: the messages that it writes and how it takes those that come.

use super::{Agent, Answer, Client, ClientEntry, Plan, Ring, Server, ServerEntry};
use bytes::Bytes;
use sip::clock::{Instant, Now};
use sip::dialog::Dialog;
use sip::header::RAck;
use sip::transaction::{
    Action, AnswerRetransmit, ClientInvite, ClientNonInvite, ReliableProvisional, ServerInvite, ServerNonInvite,
};
use sip::{Builder, Message, Method, Name};
use std::net::SocketAddr;

impl Agent {
    /// A description with this direction on a port of the agent's.
    #[must_use]
    pub fn describe(&mut self, direction: &str) -> Bytes {
        self.version += 1;
        let (ip, version, port) = (self.address.ip(), self.version, self.script.port);
        let formats = self.script.formats;
        format!(
            "v=0\r\no=agent 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n\
             a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n{}",
            self.script.more_sdp
        )
        .into()
    }

    /// Calls `number`.
    pub fn call(&mut self, now: Now, number: &str) {
        let body = if self.script.sdp { self.describe("sendrecv") } else { Bytes::new() };
        let branch = self.branch();
        let target = if number.contains(':') { number.to_owned() } else { format!("sip:{number}@{}", self.peer) };
        let mut builder = Builder::request(Method::Invite, &target)
            .header(Name::Via, self.via(&branch))
            .header(Name::MaxForwards, self.script.max_forwards)
            .header(Name::From, format_args!("\"Agent\" <sip:{}@{}>;tag=caller", self.script.user, self.address.ip()))
            .header(Name::To, format_args!("<{target}>"))
            .header(Name::CallId, format_args!("call-of-{}", self.name))
            .header(Name::CSeq, "1 INVITE")
            .header(Name::Contact, self.contact());
        for (name, value) in self.script.headers.clone() {
            builder.add_as(name, value);
        }
        let bytes = if self.script.multipart {
            let sdp = String::from_utf8_lossy(&body);
            let parts = format!(
                "--b1\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n\
                 {sdp}\r\n--b1--\r\n"
            );
            builder.finish_with("multipart/mixed;boundary=b1", parts.as_bytes())
        } else {
            builder.finish_with("application/sdp", &body)
        };
        self.begin(now, branch, Method::Invite, bytes);
        if let Some(after) = self.script.cancel {
            self.later(now, Plan::Cancel, after);
        }
    }

    /// Calls once more, with the digest that was asked for.
    fn authorize(&mut self, now: Now, at: usize, challenge: &Message) {
        let Some((user, password)) = self.script.password else { return };
        let old = self.clients[at].request.clone();
        let Some((name, value)) = sip::digest::answer(challenge, user, password, "INVITE", old.uri(), 7) else {
            return;
        };
        let branch = self.branch();
        let mut builder = Builder::request(Method::Invite, old.uri()).header(Name::Via, self.via(&branch));
        builder.copy_ref(&old, &[Name::MaxForwards, Name::From, Name::To, Name::CallId, Name::Contact]);
        builder.add(Name::CSeq, "2 INVITE");
        builder.add(name, value);
        let bytes = builder.finish_with("application/sdp", &old.body());
        self.begin(now, branch, Method::Invite, bytes);
    }

    /// Sends a request in its dialog.
    pub fn request(&mut self, now: Now, method: &str, content_type: &str, body: &[u8]) {
        self.request_in(now, 0, method, content_type, body, |_| {});
    }

    /// Sends a request in one of its dialogs.
    pub fn request_in(
        &mut self,
        now: Now,
        dialog: usize,
        method: &str,
        content_type: &str,
        body: &[u8],
        fill: impl FnOnce(&mut Builder),
    ) {
        let branch = self.branch();
        let (via, contact) = (self.via(&branch), self.contact());
        let Some(dialog) = self.dialogs.get_mut(dialog) else { return };
        let mut builder = dialog.request_as(method, via, Some(&contact), 70);
        fill(&mut builder);
        let bytes = builder.finish_with(content_type, body);
        self.begin(now, branch, Method::of(method.as_bytes()), bytes);
    }

    /// Sends a request in one of its dialogs, to another place than the dialog's target.
    pub fn request_at(&mut self, now: Now, dialog: usize, method: &str, target: &str) {
        let branch = self.branch();
        let (via, contact) = (self.via(&branch), self.contact());
        let Some(dialog) = self.dialogs.get_mut(dialog) else { return };
        let written = dialog.request_as(method, via, Some(&contact), 70).header(Name::RAck, "1 1 INVITE").finish();
        let text = String::from_utf8_lossy(&written).into_owned();
        let end = text.find(" SIP/2.0").unwrap_or(0);
        let bytes = Bytes::from(format!("{method} {target}{}", &text[end..]));
        self.begin(now, branch, Method::of(method.as_bytes()), bytes);
    }

    fn begin(&mut self, now: Now, branch: String, method: Method, bytes: Bytes) {
        let machine = if method == Method::Invite {
            Client::Invite(ClientInvite::new(now.mono, bytes.clone(), false, &self.timers))
        } else {
            Client::Other(ClientNonInvite::new(now.mono, bytes.clone(), false, &self.timers))
        };
        let request = Message::parse(bytes.clone()).expect("our own request");
        self.clients.push(ClientEntry { branch, method, machine, request, ack: None, tag: None });
        self.out.push(bytes);
    }

    /// Hangs up.
    pub fn hang_up(&mut self, now: Now) {
        if self.is_talking() {
            self.seen.ended = true;
            self.request(now, "BYE", "", b"");
        }
    }

    /// A datagram came.
    pub fn receive(&mut self, now: Now, from: SocketAddr, bytes: Bytes) {
        if self.script.deaf {
            return;
        }
        let Ok(message) = Message::parse(bytes) else { return };
        message.check().expect("the switch sends valid messages");
        self.seen.last = Some(message.clone());
        if message.is_request() {
            self.on_request(now, from, message);
        } else {
            self.on_response(now, &message);
        }
    }

    fn perform(&mut self, action: Action) -> bool {
        match action {
            Action::Send(bytes) => {
                self.out.push(bytes);
                false
            }
            Action::SendAndDeliver(bytes) => {
                self.out.push(bytes);
                true
            }
            Action::Deliver => true,
            Action::Timeout => {
                self.seen.timeouts += 1;
                false
            }
            Action::Nothing | Action::Over => false,
        }
    }

    fn on_response(&mut self, now: Now, message: &Message) {
        let branch = message.top_via().map(|via| via.branch().to_owned()).unwrap_or_default();
        let method = message.method();
        let Some(at) = self.clients.iter().position(|c| c.branch == branch && c.method == method) else { return };
        let code = message.code().unwrap_or(0);
        let action = match &mut self.clients[at].machine {
            Client::Invite(machine) => machine.handle_response(now.mono, message),
            Client::Other(machine) => machine.handle_response(now.mono, code),
        };
        if !self.perform(action) {
            return;
        }
        if message.has_sdp() {
            self.seen.sdp = Some(message.body());
        }
        match (method, code) {
            (Method::Invite, 100..200) => self.on_provisional(now, at, message),
            (Method::Invite, 200..300) => self.on_accepted(now, at, message),
            (Method::Invite, 401) if self.script.password.is_some() && self.seen.challenges == 0 => {
                self.seen.challenges += 1;
                self.authorize(now, at, message);
            }
            (Method::Invite, _) => {
                self.seen.answer = Some(message.clone());
                self.seen.finals.push(code);
                self.seen.setup_finals += u32::from(self.clients[at].request.to_tag().is_none());
            }
            (_, 200..) => self.seen.replies.push((method, code)),
            _ => {}
        }
    }

    fn on_provisional(&mut self, now: Now, at: usize, message: &Message) {
        self.seen.provisionals.push(message.code().unwrap_or(0));
        let Some(tag) = message.to_tag().map(str::to_owned) else { return };
        if !self.seen.tags.contains(&tag) {
            self.seen.tags.push(tag.clone());
            self.dialogs.extend(Dialog::uac(&self.clients[at].request, message));
        }
        if message.lists(Name::Require, "100rel")
            && let Some(rseq) = message.get(Name::RSeq).map(str::to_owned)
        {
            let index = self.dialogs.iter().position(|dialog| dialog.remote_tag() == tag).unwrap_or(0);
            let rack = format!("{rseq} 1 INVITE");
            self.request_in(now, index, "PRACK", "", b"", |builder| builder.add(Name::RAck, rack));
        }
    }

    fn on_accepted(&mut self, now: Now, at: usize, message: &Message) {
        let tag = message.to_tag().unwrap_or("").to_owned();
        if let Some(taken) = &self.clients[at].tag {
            assert_eq!(*taken, tag, "the caller sees one answer");
            self.out.extend(self.clients[at].ack.clone());
            return;
        }
        self.clients[at].tag = Some(tag.clone());
        self.seen.answer = Some(message.clone());
        self.seen.finals.push(message.code().unwrap_or(0));
        self.seen.setup_finals += u32::from(self.clients[at].request.to_tag().is_none());
        let known = self.dialogs.iter().position(|dialog| dialog.remote_tag() == tag);
        match known {
            Some(index) => {
                self.dialogs.swap(0, index);
                self.dialogs[0].confirm_as_uac(message);
            }
            None => self.dialogs.splice(0..0, Dialog::uac(&self.clients[at].request, message)).for_each(drop),
        }
        self.dialogs.truncate(1);
        let offerless = !self.clients[at].request.has_sdp();
        let body = if offerless && message.has_sdp() { self.describe("sendrecv") } else { Bytes::new() };
        let branch = self.branch();
        let seq = self.clients[at].request.cseq().map_or(1, |cseq| cseq.number);
        let ack = self.dialogs[0].ack(seq, self.via(&branch), 70).finish_with("application/sdp", &body);
        self.clients[at].ack = Some(ack.clone());
        self.out.push(ack);
        // An answer that crossed our CANCEL: we did not want it (RFC 3261 §9.1).
        let regret = self.cancelled.then_some(std::time::Duration::ZERO);
        if let Some(after) = regret.or(self.script.hangup) {
            self.later(now, Plan::Hangup, after);
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "every other request is within the dialog")]
    fn on_request(&mut self, now: Now, from: SocketAddr, message: Message) {
        let branch = message.top_via().map(|via| via.branch().to_owned()).unwrap_or_default();
        let method = message.method();
        let matched = if method == Method::Ack { Method::Invite } else { method };
        if let Some(at) = self.servers.iter().position(|s| s.branch == branch && s.method == matched) {
            let action = match &mut self.servers[at].machine {
                Server::Invite(machine) => machine.handle_request(now.mono, method),
                Server::Other(machine) => machine.handle_request(),
            };
            self.perform(action);
            return;
        }
        if message.has_sdp() {
            self.seen.sdp = Some(message.body());
        }
        if method == Method::Ack {
            return self.on_ack(now, &message);
        }
        self.seen.requests.push(method);
        if message.to_tag().is_some() {
            self.seen.within.push(message.clone());
        }
        let machine = if method == Method::Invite {
            Server::Invite(ServerInvite::new(false, &self.timers))
        } else {
            Server::Other(ServerNonInvite::new(false, &self.timers))
        };
        self.servers.push(ServerEntry { from, branch: branch.clone(), method, machine, request: message.clone() });
        match method {
            Method::Invite if message.to_tag().is_none() => self.on_invite(now, message),
            Method::Cancel => self.on_cancel(now, &branch),
            Method::Prack => self.on_prack(now, &message),
            _ => self.on_in_dialog(now, &message),
        }
    }

    fn on_ack(&mut self, now: Now, message: &Message) {
        self.seen.acks += 1;
        let seq = message.cseq().map_or(0, |cseq| cseq.number);
        let first = self.answers.iter_mut().any(|answer| answer.acknowledge(seq));
        if first && let Some(after) = self.script.hangup.filter(|_| seq == 1 || self.seen.invite.is_some()) {
            self.later(now, Plan::Hangup, after);
        }
    }

    fn on_invite(&mut self, now: Now, message: Message) {
        let challenged = self.script.asks && message.get(Name::ProxyAuthorization).is_none();
        // Another call, after one that was never answered: what was left of that is none of it.
        if !self.is_talking() && self.seen.invite.as_ref().is_some_and(|last| last.call_id() != message.call_id()) {
            self.dialogs.clear();
            self.plans.clear();
            self.seen.ended = false;
        }
        self.seen.invite = Some(message);
        if challenged {
            let question = "Digest realm=\"carrier\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
            self.script.headers.push(("Proxy-Authenticate", question.to_owned()));
            self.respond_to(now, Method::Invite, 407, 0, false, false);
            self.script.headers.pop();
            return;
        }
        let slow = self.script.slow.unwrap_or_default();
        if self.script.slow.is_none() {
            self.respond_to(now, Method::Invite, 100, 0, false, false);
        }
        for ring in self.script.rings.clone() {
            self.later(now, Plan::Ring(ring), ring.after.max(slow));
        }
        for answer in self.script.answers.clone() {
            self.later(now, Plan::Answer(answer), answer.after.max(slow * 2));
        }
    }

    fn on_cancel(&mut self, now: Now, branch: &str) {
        self.answer_last(now, 200, None);
        let open = self.servers.iter().position(|s| {
            s.branch == branch && matches!(&s.machine, Server::Invite(machine) if machine.is_proceeding())
        });
        if let Some(at) = open {
            if self.servers[at].request.to_tag().is_none() {
                self.plans.clear();
                self.seen.ended = true;
            }
            self.respond_at(now, at, 487, 0, false, false);
        }
    }

    fn on_prack(&mut self, now: Now, message: &Message) {
        let rack = message.get(Name::RAck).and_then(RAck::parse);
        let known = rack.is_some_and(|rack| self.reliable.iter_mut().any(|response| response.acknowledge(&rack)));
        self.answer_last(now, if known { 200 } else { 481 }, None);
    }

    fn on_in_dialog(&mut self, now: Now, message: &Message) {
        let Some(at) = self.dialogs.iter().position(|dialog| dialog.matches(message)) else {
            return self.answer_last(now, 481, None);
        };
        if let Some(cseq) = message.cseq()
            && self.dialogs[at].accept(cseq).is_err()
        {
            return self.answer_last(now, 500, None);
        }
        // Whoever has hung up knows the dialog no more, also where nobody was there to hear it (RFC 3261 §15.1.1).
        if self.script.forgets && self.seen.ended && matches!(message.method(), Method::Invite | Method::Update) {
            return self.answer_last(now, 481, None);
        }
        if message.method() == Method::Notify {
            self.note(message);
        }
        if message.method() == Method::Invite && self.script.busy > 0 {
            self.script.busy -= 1;
            return self.answer_last(now, 491, None);
        }
        if message.method() == Method::Invite && self.script.mute {
            return;
        }
        if message.method() == Method::Invite && !self.script.moves.is_empty() {
            let (code, headers) = self.script.moves.remove(0);
            return self.answer_with(now, code, None, headers);
        }
        if message.method() == Method::Invite
            && let Some(after) = self.script.broods
        {
            return self.later(now, Plan::Brood, after);
        }
        if message.method() == Method::Bye {
            self.seen.ended = true;
            self.plans.retain(|(_, plan)| !matches!(plan, Plan::Hangup));
        }
        if matches!(message.method(), Method::Invite | Method::Update) {
            self.dialogs[at].refresh_target(message);
        }
        // An INVITE without an offer asks for ours (RFC 3261 §14.2).
        let wanted = message.has_sdp() || message.method() == Method::Invite;
        let body = wanted.then(|| self.describe("sendrecv"));
        self.answer_last(now, 200, body);
    }

    /// Asks for a transfer of the other party.
    pub fn refer(&mut self, now: Now, target: &str) {
        self.request_in(now, 0, "REFER", "", b"", |builder| builder.add(Name::ReferTo, target));
    }

    /// What a NOTIFY says of a transfer.
    fn note(&mut self, message: &Message) {
        let body = message.body();
        let status = std::str::from_utf8(&body).ok().and_then(|body| body.split(' ').nth(1)?.parse().ok());
        let state = message.get(Name::SubscriptionState).unwrap_or("");
        self.seen.notified.extend(status.map(|code| (code, state.starts_with("terminated"))));
    }

    /// Answers the request that came last.
    fn answer_last(&mut self, now: Now, code: u16, body: Option<Bytes>) {
        self.answer_with(now, code, body, &[]);
    }

    fn answer_with(&mut self, now: Now, code: u16, body: Option<Bytes>, headers: &[(&'static str, &str)]) {
        let at = self.servers.len() - 1;
        let request = self.servers[at].request.clone();
        let mut builder = Builder::response(&request, code, None, "agent");
        builder.add(Name::Contact, self.contact());
        for (name, value) in headers {
            builder.add_as(name, value);
        }
        let bytes = builder.finish_with("application/sdp", &body.unwrap_or_default());
        if request.method() == Method::Invite && code < 300 {
            let seq = request.cseq().map_or(0, |cseq| cseq.number);
            self.answers.push(AnswerRetransmit::new(now.mono, bytes.clone(), seq, &self.timers));
        }
        let action = match &mut self.servers[at].machine {
            Server::Invite(machine) => machine.respond(now.mono, code, bytes),
            Server::Other(machine) => machine.respond(now.mono, code, bytes),
        };
        self.perform(action);
    }

    fn respond_to(&mut self, now: Now, method: Method, code: u16, fork: u8, sdp: bool, reliable: bool) {
        let last = self.servers.iter().rposition(|server| server.method == method && server.request.to_tag().is_none());
        if let Some(at) = last {
            self.respond_at(now, at, code, fork, sdp, reliable);
        }
    }

    fn respond_at(&mut self, now: Now, at: usize, code: u16, fork: u8, sdp: bool, reliable: bool) {
        let request = self.servers[at].request.clone();
        let tag = if code == 100 { String::new() } else { format!("callee{fork}") };
        let mut builder = Builder::response(&request, code, None, &tag);
        if !(300..400).contains(&code) {
            builder.add(Name::Contact, self.contact());
        }
        builder.copy_ref(&request, &[Name::RecordRoute]);
        for (name, value) in self.script.headers.clone() {
            builder.add_as(name, value);
        }
        if reliable {
            builder.add(Name::Require, "100rel");
            builder.add(Name::RSeq, 1);
        }
        let body = if sdp { self.describe("sendrecv") } else { Bytes::new() };
        let bytes = builder.finish_with("application/sdp", &body);
        let cseq = request.cseq().expect("checked");
        if reliable {
            self.reliable.push(ReliableProvisional::new(now.mono, bytes.clone(), 1, cseq, &self.timers));
        }
        let is_its = |dialog: &Dialog| dialog.local_tag() == tag && dialog.call_id() == request.call_id();
        if code > 100 && code < 300 && !self.dialogs.iter().any(is_its) {
            self.dialogs.extend(Dialog::uas(&request, &tag));
        }
        if (200..300).contains(&code) {
            if let Some(index) = self.dialogs.iter().position(is_its) {
                self.dialogs.swap(0, index);
                self.dialogs[0].confirm_as_uas();
            }
            self.answers.push(AnswerRetransmit::new(now.mono, bytes.clone(), cseq.number, &self.timers));
        }
        if let Server::Invite(machine) = &mut self.servers[at].machine {
            let action = machine.respond(now.mono, code, bytes);
            self.perform(action);
        }
    }

    /// When it next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(|client| match &client.machine {
            Client::Invite(machine) => machine.poll_timeout(),
            Client::Other(machine) => machine.poll_timeout(),
        });
        let servers = self.servers.iter().filter_map(|server| match &server.machine {
            Server::Invite(machine) => machine.poll_timeout(),
            Server::Other(machine) => machine.poll_timeout(),
        });
        let answers = self.answers.iter().filter_map(AnswerRetransmit::poll_timeout);
        let reliable = self.reliable.iter().filter_map(ReliableProvisional::poll_timeout);
        let plans = self.plans.iter().map(|(at, _)| *at);
        clients.chain(servers).chain(answers).chain(reliable).chain(plans).min()
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut actions = Vec::new();
        for client in &mut self.clients {
            actions.push(match &mut client.machine {
                Client::Invite(machine) => machine.handle_timeout(now.mono),
                Client::Other(machine) => machine.handle_timeout(now.mono),
            });
        }
        for server in &mut self.servers {
            actions.push(match &mut server.machine {
                Server::Invite(machine) => machine.handle_timeout(now.mono),
                Server::Other(machine) => machine.handle_timeout(now.mono),
            });
        }
        actions.extend(self.answers.iter_mut().map(|answer| answer.handle_timeout(now.mono)));
        actions.extend(self.reliable.iter_mut().map(|response| response.handle_timeout(now.mono)));
        for action in actions {
            self.perform(action);
        }
        let (due, later) = std::mem::take(&mut self.plans).into_iter().partition(|(at, _)| *at <= now.mono);
        self.plans = later;
        let mut due: Vec<(Instant, Plan)> = due;
        due.sort_by_key(|(at, _)| *at);
        for (_, plan) in due {
            self.follow(now, plan);
        }
    }

    fn follow(&mut self, now: Now, plan: Plan) {
        match plan {
            Plan::Ring(Ring { code, sdp, reliable, fork, .. }) => {
                self.respond_to(now, Method::Invite, code, fork, sdp, reliable);
            }
            Plan::Answer(Answer { code, fork, .. }) => {
                let sdp = self.script.sdp && !self.script.quiet_answer && code < 300;
                self.respond_to(now, Method::Invite, code, fork, sdp, false);
            }
            Plan::Hangup => self.hang_up(now),
            Plan::Cancel => self.cancel(now),
            Plan::Brood => self.respond_last_invite(now, 100),
        }
    }

    fn respond_last_invite(&mut self, now: Now, code: u16) {
        if let Some(at) = self.servers.iter().rposition(|server| server.method == Method::Invite) {
            self.respond_at(now, at, code, 0, false, false);
        }
    }

    /// Takes its last re-INVITE back.
    ///
    /// # Panics
    /// There is none that may be cancelled now.
    pub fn cancel_reinvite(&mut self, now: Now) {
        let at = self.clients.iter().rposition(|client| client.method == Method::Invite).expect("an INVITE");
        let branch = self.clients[at].branch.clone();
        let Client::Invite(machine) = &mut self.clients[at].machine else { return };
        let bytes = machine.cancel(now.mono, None).expect("it may be cancelled");
        self.begin(now, branch, Method::Cancel, bytes);
    }

    fn cancel(&mut self, now: Now) {
        self.cancelled = true;
        let Some(at) = self.clients.iter().position(|client| client.method == Method::Invite) else { return };
        let Client::Invite(machine) = &mut self.clients[at].machine else { return };
        if let Some(bytes) = machine.cancel(now.mono, None) {
            let branch = self.clients[at].branch.clone();
            self.begin(now, branch, Method::Cancel, bytes);
        } else if machine.is_calling() {
            self.later(now, Plan::Cancel, std::time::Duration::from_millis(50));
        } else {
            self.hang_up(now);
        }
    }
}
