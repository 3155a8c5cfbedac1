//! Reading SIP, as much of it as a user agent in a test needs: the start line, the headers that make a transaction
//! and a dialog, the body. Strict where it can afford to be: what the switch sends must be well formed.

use std::net::SocketAddr;

/// The first line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// A request and its method.
    Request { method: &'a str, uri: &'a str },
    /// A response and its status code.
    Response { code: u16 },
}

/// A message, borrowed from its datagram.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) start: Start<'a>,
    pub(crate) vias: Vec<&'a str>,
    pub(crate) record_routes: Vec<&'a str>,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: &'a str,
    pub(crate) contact: Option<&'a str>,
    /// WWW-Authenticate or Proxy-Authenticate, in order.
    pub(crate) challenges: Vec<&'a str>,
    pub(crate) body: &'a str,
}

/// Reads one datagram; `None` where it is no SIP message that a user agent could act on.
pub(crate) fn read(datagram: &[u8]) -> Option<Message<'_>> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut message = Message {
        start: start_line(lines.next()?)?,
        vias: Vec::with_capacity(2),
        record_routes: Vec::new(),
        from: "",
        to: "",
        call_id: "",
        cseq: 0,
        cseq_method: "",
        contact: None,
        challenges: Vec::new(),
        body: "",
    };
    let mut length = body.len();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        header(&mut message, name.trim_end(), value.trim(), &mut length)?;
    }
    message.body = body.get(..length)?;
    let complete = !message.vias.is_empty()
        && ![message.from, message.to, message.call_id, message.cseq_method].iter().any(|value| value.is_empty());
    complete.then_some(message)
}

fn start_line(line: &str) -> Option<Start<'_>> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let code: u16 = rest.get(..3)?.parse().ok()?;
        return (100..700).contains(&code).then_some(Start::Response { code });
    }
    let (method, rest) = line.split_once(' ')?;
    let uri = rest.strip_suffix(" SIP/2.0")?;
    Some(Start::Request { method, uri })
}

fn header<'a>(message: &mut Message<'a>, name: &str, value: &'a str, length: &mut usize) -> Option<()> {
    let is = |long: &str, short: &str| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
    match name.len() {
        1 | 3 if is("via", "v") => message.vias.push(value),
        1 | 2 if is("to", "t") => message.to = value,
        1 | 4 if is("from", "f") => message.from = value,
        1 | 7 if is("call-id", "i") => message.call_id = value,
        1 | 7 if is("contact", "m") => message.contact = Some(value),
        1 | 14 if is("content-length", "l") => *length = value.parse().ok()?,
        4 if is("cseq", "cseq") => {
            let (number, method) = value.split_once(' ')?;
            message.cseq = number.parse().ok()?;
            message.cseq_method = method.trim_start();
        }
        12 if is("record-route", "record-route") => message.record_routes.push(value),
        16 | 18 if is("www-authenticate", "proxy-authenticate") => message.challenges.push(value),
        _ => {}
    }
    Some(())
}

impl<'a> Message<'a> {
    /// The branch of the top Via (RFC 3261 §8.1.1.7).
    pub(crate) fn branch(&self) -> &'a str {
        parameter(self.vias[0], "branch").unwrap_or("")
    }

    /// Where a response goes: back where the request came from (RFC 3581; our sockets see the true source).
    pub(crate) fn to_tag(&self) -> Option<&'a str> {
        parameter(self.to.rsplit('>').next().unwrap_or(""), "tag")
    }
}

/// The value of `;name=value` in `text`.
pub(crate) fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The URI of a `name-addr` or `addr-spec`.
pub(crate) fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The user part of a `sip:` or `tel:` URI; empty where it has none.
pub(crate) fn user(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    match rest.split_once('@') {
        Some((user, _)) => user.split([';', ':']).next().unwrap_or(""),
        None if uri.starts_with("tel:") => rest.split(';').next().unwrap_or(""),
        None => "",
    }
}

/// The numeric host and port of a `sip:` URI; `None` for names, which this generator never resolves.
pub(crate) fn host(uri: &str) -> Option<SocketAddr> {
    let rest = uri.split_once(':')?.1;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?', '>']).next()?.trim();
    host.parse().ok().or_else(|| Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, 5060)))
}

/// The entries of comma-joined `name-addr` headers, in order.
pub(crate) fn entries<'a>(headers: &[&'a str]) -> Vec<&'a str> {
    let mut entries = Vec::new();
    for header in headers {
        let (mut start, mut inside) = (0, false);
        for (at, byte) in header.bytes().enumerate() {
            match byte {
                b'<' => inside = true,
                b'>' => inside = false,
                b',' if !inside => {
                    entries.push(header[start..at].trim());
                    start = at + 1;
                }
                _ => {}
            }
        }
        entries.push(header[start..].trim());
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_with_compact_names_is_read() {
        let text = "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx;rport=5060\r\n\
            Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2:5070;lr;ftag=a,b>\r\nf: <sip:a@b>;tag=1\r\n\
            t: \"x;tag=9\" <sip:c@d>;tag=2\r\ni: 7-abc\r\nCSeq: 12 INVITE\r\nm: <sip:t@127.0.0.1:5090;ob>\r\n\
            l: 3\r\n\r\nv=0ignored";
        let message = read(text.as_bytes()).expect("a valid response");
        assert_eq!(message.start, Start::Response { code: 200 });
        assert_eq!((message.branch(), message.to_tag()), ("z9hG4bKx", Some("2")));
        assert_eq!((message.cseq, message.cseq_method, message.body), (12, "INVITE", "v=0"));
        assert_eq!(entries(&message.record_routes), ["<sip:10.0.0.1;lr>", "<sip:10.0.0.2:5070;lr;ftag=a,b>"]);
        let target = uri(message.contact.expect("a contact"));
        assert_eq!(host(target), "127.0.0.1:5090".parse().ok());
        assert_eq!(user("sip:+4477;npdi@h:5"), "+4477");
    }

    #[test]
    fn a_body_shorter_than_promised_is_no_message() {
        let text = "BYE sip:a SIP/2.0\r\nv: x;branch=1\r\nf: a\r\nt: b\r\ni: c\r\nCSeq: 1 BYE\r\nl: 9\r\n\r\nv=0";
        assert!(read(text.as_bytes()).is_none());
    }
}
