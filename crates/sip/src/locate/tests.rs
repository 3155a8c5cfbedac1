use super::*;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

fn locate(uri: &str) -> Locate {
    Locate::uri(&Uri::parse(uri).expect("a URI"), &ALL, 1)
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.to_owned() }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
    Naptr { order, preference, flags: "s".to_owned(), service: service.to_owned(), replacement: replacement.to_owned() }
}

/// Runs the search against a zone, and answers the names asked and the targets found.
fn run(mut locate: Locate, zone: impl Fn(&Query) -> Option<Answer>) -> (Vec<Query>, Vec<String>) {
    let mut asked = Vec::new();
    while let Some(query) = locate.next_query() {
        let none = match &query {
            Query::Naptr(_) => Answer::Naptr(Vec::new()),
            Query::Srv(_) => Answer::Srv(Vec::new()),
            Query::Host(_) => Answer::Host(Vec::new()),
        };
        locate.answer(zone(&query).unwrap_or(none));
        asked.push(query);
    }
    let targets = locate.targets().iter().map(|t| format!("{} {}", t.transport.param(), t.address)).collect();
    (asked, targets)
}

fn host(ip: &str) -> Option<Answer> {
    Some(Answer::Host(vec![ip.parse().expect("an address")]))
}

#[test]
fn addresses_need_no_query() {
    for (uri, target) in [
        ("sip:192.0.2.1", "udp 192.0.2.1:5060"),
        ("sips:192.0.2.1", "tls 192.0.2.1:5061"),
        ("sip:[2001:db8::1]:5070;transport=tcp", "tcp [2001:db8::1]:5070"),
        ("sips:192.0.2.1;transport=tcp", "tls 192.0.2.1:5061"),
        ("sip:example.com;maddr=192.0.2.9", "udp 192.0.2.9:5060"),
    ] {
        assert_eq!(run(locate(uri), |_| None), (vec![], vec![target.to_owned()]), "{uri}");
    }
}

#[test]
fn a_port_means_the_host_itself() {
    let (asked, targets) = run(locate("sip:gw.example.com:5080"), |_| host("192.0.2.2"));
    assert_eq!(asked, [Query::Host("gw.example.com".into())]);
    assert_eq!(targets, ["udp 192.0.2.2:5080"]);
}

#[test]
fn naptr_leads_to_srv_leads_to_hosts() {
    let (asked, targets) = run(locate("sip:example.com"), |query| match query {
        Query::Naptr(_) => Some(Answer::Naptr(vec![
            naptr(20, 0, "SIP+D2U", "_sip._udp.example.com."),
            naptr(10, 0, "SIP+D2T", "_sip._tcp.example.com."),
            naptr(5, 0, "SIP+D2S", "_sip._sctp.example.com."),
        ])),
        Query::Srv(name) if name == "_sip._tcp.example.com" => {
            Some(Answer::Srv(vec![srv(2, 0, 5061, "b.example.com."), srv(1, 0, 5062, "a.example.com.")]))
        }
        Query::Srv(_) => Some(Answer::Srv(vec![srv(1, 0, 5063, "a.example.com")])),
        Query::Host(name) if name == "a.example.com" => host("192.0.2.1"),
        Query::Host(_) => host("2001:db8::2"),
    });
    assert_eq!(targets, ["tcp 192.0.2.1:5062", "tcp [2001:db8::2]:5061", "udp 192.0.2.1:5063"]);
    assert_eq!(asked.len(), 6);
}

#[test]
fn without_naptr_each_transport_is_asked_for() {
    let (asked, targets) = run(locate("sip:example.com"), |query| match query {
        Query::Host(_) => host("192.0.2.3"),
        Query::Naptr(_) | Query::Srv(_) => None,
    });
    let srv = |name: &str| Query::Srv(format!("{name}.example.com"));
    let host = Query::Host("example.com".into());
    assert_eq!(
        asked,
        [Query::Naptr("example.com".into()), srv("_sip._udp"), srv("_sip._tcp"), srv("_sips._tcp"), host]
    );
    assert_eq!(targets, ["udp 192.0.2.3:5060"]);
}

#[test]
fn sips_never_goes_over_an_open_transport() {
    let (asked, targets) = run(locate("sips:example.com"), |query| match query {
        Query::Naptr(_) => Some(Answer::Naptr(vec![naptr(1, 1, "SIP+D2U", "u"), naptr(2, 1, "SIPS+D2T", "t")])),
        Query::Srv(_) => Some(Answer::Srv(vec![srv(1, 1, 5061, "h")])),
        Query::Host(_) => host("192.0.2.4"),
    });
    assert!(asked.contains(&Query::Srv("t".into())) && !asked.contains(&Query::Srv("u".into())));
    assert_eq!(targets, ["tls 192.0.2.4:5061"]);
    assert_eq!(run(locate("sips:h;transport=udp"), |_| host("192.0.2.4")), (vec![], vec![]));
}

#[test]
fn a_dot_says_that_there_is_no_service() {
    let (asked, targets) = run(locate("sip:example.com;transport=udp"), |query| match query {
        Query::Srv(_) => Some(Answer::Srv(vec![srv(0, 0, 0, ".")])),
        Query::Host(_) | Query::Naptr(_) => host("192.0.2.5"),
    });
    assert_eq!(asked.len(), 1);
    assert_eq!(targets, [""; 0]);
}

#[test]
fn a_place_is_tried_once() {
    let (_, targets) = run(locate("sip:example.com;transport=tcp"), |query| match query {
        Query::Srv(_) => Some(Answer::Srv(vec![srv(1, 0, 5060, "a"), srv(2, 0, 5060, "b"), srv(3, 0, 5061, "a")])),
        Query::Host(_) => host("192.0.2.6"),
        Query::Naptr(_) => None,
    });
    assert_eq!(targets, ["tcp 192.0.2.6:5060", "tcp 192.0.2.6:5061"]);
}

#[test]
fn a_configured_host_names_its_transport() {
    let to = |name, port, transport| run(Locate::host(name, port, transport, &ALL, 1), |_| host("192.0.2.7")).1;
    assert_eq!(to("gw.example.com", Some(5080), Some(Transport::Tls)), ["tls 192.0.2.7:5080"]);
    assert_eq!(to("192.0.2.8", None, None), ["udp 192.0.2.8:5060"]);
    assert_eq!(to("2001:db8::8", None, Some(Transport::Tcp)), ["tcp [2001:db8::8]:5060"]);
    assert_eq!(to("gw.example.com", None, Some(Transport::Ws)), [""; 0], "none of our transports");
}

#[test]
fn weights_share_the_load() {
    let mut first = [0_u32; 2];
    for seed in 0..4_000 {
        let records = vec![srv(1, 10, 1, "a"), srv(1, 30, 2, "b"), srv(0, 0, 3, "c")];
        let ordered = by_priority(records, &mut Shuffle::new(seed));
        assert_eq!(ordered[0].target, "c");
        first[usize::from(ordered[1].port - 1)] += 1;
    }
    assert!((800..1_300).contains(&first[0]), "{first:?}");
    let zero_first =
        |seed| by_priority(vec![srv(1, 9, 1, "a"), srv(1, 0, 2, "zero")], &mut Shuffle::new(seed))[0].port == 2;
    let drawn = (0..1_000).filter(|seed| zero_first(*seed)).count();
    assert!((50..200).contains(&drawn), "weight zero has a small chance, not none: {drawn}");
}

#[test]
fn a_zone_that_never_ends_is_left() {
    let many = |_: &Query| Some(Answer::Srv((0..200).map(|n| srv(n, 0, 1, &format!("h{n}"))).collect()));
    let (asked, _) = run(locate("sip:example.com;transport=udp"), many);
    assert!(asked.len() <= MAX_QUERIES);
    let wide = |query: &Query| match query {
        Query::Host(_) => Some(Answer::Host((0..200).map(|n| IpAddr::from([192, 0, 2, n])).collect())),
        Query::Naptr(_) | Query::Srv(_) => None,
    };
    assert_eq!(run(locate("sip:example.com:5060"), wide).1.len(), MAX_TARGETS);
}
