//! Addresses of RFC 5118.

use crate::{refusal, request, understood, with};
use sip::Name;
use sip::uri::Uri;
use sip::via::Via;

/// §4.1, §4.2: a reference has brackets, or it is none.
#[test]
fn brackets() {
    let message = understood(request(
        "REGISTER sip:[2001:db8::20] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::7:1];branch=z9hG4bK1\r\nContact: \"Ann\" <sip:ann@[2001:db8::1]>\r\n",
        &["Via"],
    ));
    assert_eq!(Uri::parse(message.uri()).and_then(|uri| uri.ip()), "2001:db8::20".parse().ok());
    assert_eq!(message.top_via().map(|via| via.host), Some("[2001:db8::7:1]"));
    assert_eq!(message.contact().and_then(|contact| contact.parsed_uri()?.ip()), "2001:db8::1".parse().ok());
    assert_eq!(refusal(request("REGISTER sip:2001:db8::20 SIP/2.0", "", &[])), 400);
    assert_eq!(refusal(request("REGISTER sip:[2001:db8::20 SIP/2.0", "", &[])), 400);
}

/// §4.3, §4.4: within the brackets a port is none.
#[test]
fn ports() {
    let host_port = |uri| Uri::parse(uri).map(|uri| (uri.host, uri.port));
    assert_eq!(host_port("sip:[2001:db8::20:5070]"), Some(("[2001:db8::20:5070]", None)));
    assert_eq!(host_port("sip:[2001:db8::20]:5070"), Some(("[2001:db8::20]", Some(5070))));
    assert_eq!(host_port("sip:[2001:db8::20]5070"), None);
}

/// §4.5: `received` with and without brackets.
#[test]
fn received() {
    for received in ["[2001:db8::9:ff]", "2001:db8::9:ff"] {
        let message =
            understood(with("Via", &format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bK1")));
        let address = message.top_via().and_then(|via| via.response_address());
        assert_eq!(address, "[2001:db8::9:ff]:5060".parse().ok(), "{received}");
    }
}

/// §4.7, §4.9: both families in one list, and addresses of one within the other.
#[test]
fn families_together() {
    let message = understood(with(
        "Via",
        "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2,\r\n \
         SIP/2.0/TCP [::ffff:192.0.2.10]:19823;branch=z9hG4bK3;received=192.0.2.200",
    ));
    let hops: Vec<_> = message.values(Name::Via).filter_map(Via::parse).map(|via| (via.host, via.port)).collect();
    assert_eq!(hops, [("[2001:db8::9:1]", Some(6050)), ("192.0.2.1", None), ("[::ffff:192.0.2.10]", Some(19_823))]);
}

/// §4.10: the third colon that an old grammar wrote is tolerated before an IPv4 address, and nowhere else.
#[test]
fn three_colons() {
    for reference in ["[2001:db8::192.0.2.1]", "[2001:db8:::192.0.2.1]"] {
        let line = format!("OPTIONS sip:bob@{reference} SIP/2.0");
        let message = understood(request(&line, &format!("To: sip:bob@{reference}\r\n"), &["To"]));
        assert_eq!(Uri::parse(message.uri()).and_then(|uri| uri.ip()), "2001:db8::192.0.2.1".parse().ok());
    }
    for reference in ["[2001:db8:::1]", "[2001:db8::::192.0.2.1]", "[1::2:::192.0.2.1]"] {
        assert_eq!(refusal(request(&format!("OPTIONS sip:bob@{reference} SIP/2.0"), "", &[])), 400, "{reference}");
    }
}
