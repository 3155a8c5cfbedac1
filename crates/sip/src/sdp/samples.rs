//! Descriptions as user agents in the field write them, with documentation addresses, for tests.

/// A pjsip softphone: RTCP attribute, TIAS bandwidth, G.729 without rtpmap trouble, DTMF on 101.
pub(super) const PJSIP: &str = "v=0\r\n\
    o=- 3973500000 3973500000 IN IP4 192.0.2.10\r\n\
    s=pjmedia\r\n\
    b=AS:84\r\n\
    t=0 0\r\n\
    a=X-nat:0\r\n\
    m=audio 4000 RTP/AVP 96 9 8 0 18 101\r\n\
    c=IN IP4 192.0.2.10\r\n\
    b=TIAS:64000\r\n\
    a=rtcp:4001 IN IP4 192.0.2.10\r\n\
    a=sendrecv\r\n\
    a=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:9 G722/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:18 G729/8000\r\n\
    a=fmtp:18 annexb=no\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\n\
    a=ssrc:1523651020 cname:4f8d2c3b1a0e5d6f\r\n";

/// baresip: session-level address, a direction and a label, no attribute for RTCP.
pub(super) const BARESIP: &str = "v=0\r\n\
    o=- 1764000001 764100002 IN IP4 192.0.2.20\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.20\r\n\
    t=0 0\r\n\
    a=tool:baresip 2.0.1\r\n\
    m=audio 11208 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=rtcp-rsize\r\n\
    a=label:1\r\n\
    a=sendrecv\r\n\
    a=ptime:20\r\n";

/// linphone: audio and video, feedback attributes, ICE at both levels.
pub(super) const LINPHONE: &str = "v=0\r\n\
    o=alice 1822 2093 IN IP4 192.0.2.30\r\n\
    s=Talk\r\n\
    c=IN IP4 192.0.2.30\r\n\
    t=0 0\r\n\
    a=ice-pwd:9f3b4d2c1a0e8f7d6c5b4a39\r\n\
    a=ice-ufrag:5a1c2d3e\r\n\
    a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\n\
    a=record:off\r\n\
    m=audio 7078 RTP/AVPF 96 97 8 0 101\r\n\
    a=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:97 speex/16000\r\n\
    a=fmtp:97 vbr=on\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=rtcp-fb:* trr-int 5000\r\n\
    a=rtcp-fb:97 ccm tmmbr\r\n\
    a=candidate:1 1 UDP 2130706303 192.0.2.30 7078 typ host\r\n\
    a=candidate:1 2 UDP 2130706302 192.0.2.30 7079 typ host\r\n\
    a=remote-candidates:1 198.51.100.1 5000\r\n\
    m=video 9078 RTP/AVPF 98\r\n\
    a=rtpmap:98 H264/90000\r\n\
    a=fmtp:98 profile-level-id=42801F\r\n\
    a=rtcp-fb:98 nack pli\r\n";

/// Asterisk: PCMU only with events, maxptime.
pub(super) const ASTERISK: &str = "v=0\r\n\
    o=- 1083842910 3 IN IP4 192.0.2.40\r\n\
    s=Asterisk\r\n\
    c=IN IP4 192.0.2.40\r\n\
    t=0 0\r\n\
    m=audio 15884 RTP/AVP 0 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\n\
    a=ptime:20\r\n\
    a=maxptime:140\r\n\
    a=sendrecv\r\n";

/// A browser: BUNDLE, DTLS, ICE, RTCP multiplexed, port 9 and the unspecified address.
pub(super) const WEBRTC: &str = "v=0\r\n\
    o=- 4611733054762223410 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\n\
    a=msid-semantic: WMS stream\r\n\
    m=audio 50012 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
    c=IN IP4 198.51.100.7\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=candidate:842163049 1 udp 1677729535 198.51.100.7 50012 typ srflx raddr 0.0.0.0 rport 0 generation 0\r\n\
    a=ice-ufrag:EsAw\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=ice-options:trickle\r\n\
    a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=sendrecv\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    a=rtcp-fb:111 transport-cc\r\n\
    a=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\n\
    a=fmtp:63 111/111\r\n\
    a=rtpmap:9 G722/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:13 CN/8000\r\n\
    a=rtpmap:110 telephone-event/48000\r\n\
    a=rtpmap:126 telephone-event/8000\r\n\
    a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6\r\n";

/// A gateway that goes over to fax: the audio ended, T.38 in its place.
pub(super) const T38: &str = "v=0\r\n\
    o=gw 20023 20024 IN IP4 192.0.2.50\r\n\
    s=SIP Call\r\n\
    c=IN IP4 192.0.2.50\r\n\
    t=0 0\r\n\
    m=audio 0 RTP/AVP 8\r\n\
    m=image 16484 udptl t38\r\n\
    a=T38FaxVersion:0\r\n\
    a=T38MaxBitRate:14400\r\n\
    a=T38FaxUdpEC:t38UDPRedundancy\r\n";

/// IPv6, SDES keys, LF only, no end after the last line.
pub(super) const IPV6: &str = "v=0\n\
    o=- 25678 753849 IN IP6 2001:db8::60\n\
    s=-\n\
    c=IN IP6 2001:db8::60\n\
    t=0 0\n\
    m=audio 6000 RTP/SAVP 8\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\n\
    a=recvonly";

/// Audio, a message session over TCP that inherits the session's address, and a name instead of an address.
pub(super) const MIXED: &str = "v=0\r\n\
    o=- 1 1 IN IP4 192.0.2.70\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.70\r\n\
    t=0 0\r\n\
    m=audio 7000 RTP/AVP 0\r\n\
    c=IN IP4 media.example.net\r\n\
    m=message 2855 TCP/MSRP *\r\n\
    i=chat\r\n\
    a=accept-types:text/plain\r\n\
    a=path:msrp://192.0.2.70:2855/s1;tcp\r\n";

/// All of the above.
pub(super) const ALL: [&str; 8] = [PJSIP, BARESIP, LINPHONE, ASTERISK, WEBRTC, T38, IPV6, MIXED];

/// A small generator for property tests: the same seed gives the same run.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        // xorshift64*: enough to wander through inputs.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % limit.max(1)
    }
}
