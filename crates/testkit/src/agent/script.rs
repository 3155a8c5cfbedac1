//! What an agent does without being told.

use std::time::Duration;

/// A provisional response.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// After the INVITE.
    pub after: Duration,
    /// 101–199.
    pub code: u16,
    /// With a session description.
    pub sdp: bool,
    /// With `Require: 100rel`.
    pub reliable: bool,
    /// Which fork answers: each has a To tag of its own.
    pub fork: u8,
}

/// A final response.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// After the INVITE.
    pub after: Duration,
    /// 200–699.
    pub code: u16,
    /// Which fork answers.
    pub fork: u8,
}

/// What an agent does without being told.
#[derive(Clone, Debug)]
pub struct Script {
    /// The INVITE or its 2xx carries a session description.
    pub sdp: bool,
    /// As callee: these, in time.
    pub rings: Vec<Ring>,
    /// As callee: the 2xx does not repeat the description of an early response.
    pub quiet_answer: bool,
    /// As caller: the description is one part of the body, beside a location.
    pub multipart: bool,
    /// Where it wants its media.
    pub port: u16,
    /// The formats of its audio.
    pub formats: &'static str,
    /// More lines of its session descriptions.
    pub more_sdp: &'static str,
    /// As callee: the ends, one a fork.
    pub answers: Vec<Answer>,
    /// As caller: CANCEL after this.
    pub cancel: Option<Duration>,
    /// BYE this long after the answer.
    pub hangup: Option<Duration>,
    /// Says nothing at all.
    pub deaf: bool,
    /// As callee: asks for a digest first.
    pub asks: bool,
    /// As callee: sends no 100 and nothing else before this.
    pub slow: Option<Duration>,
    /// Says nothing to a re-INVITE but 100 after this, and waits for its CANCEL.
    pub broods: Option<Duration>,
    /// This many re-INVITEs are answered with 491.
    pub busy: u32,
    /// The next INVITEs within the dialog are answered with these, and these headers.
    pub moves: Vec<(u16, &'static [(&'static str, &'static str)])>,
    /// Answers no INVITE within its dialog.
    pub mute: bool,
    /// Having hung up it knows its dialog no more.
    pub forgets: bool,
    /// As caller: the user part of From.
    pub user: &'static str,
    /// As caller: name and password for a digest.
    pub password: Option<(&'static str, &'static str)>,
    /// As caller: of the INVITE.
    pub max_forwards: u8,
    /// More header lines of the INVITE or of its responses.
    pub headers: Vec<(&'static str, String)>,
}

impl Default for Script {
    /// Rings after 100 ms, answers after 300 ms, and never hangs up.
    fn default() -> Self {
        Self {
            sdp: true,
            quiet_answer: false,
            multipart: false,
            port: 4000,
            formats: "8 0 101",
            more_sdp: "",
            rings: vec![Ring::plain(100, 180)],
            answers: vec![Answer { after: Duration::from_millis(300), code: 200, fork: 0 }],
            cancel: None,
            hangup: None,
            deaf: false,
            asks: false,
            slow: None,
            broods: None,
            busy: 0,
            moves: Vec::new(),
            mute: false,
            forgets: false,
            user: "+442071230001",
            password: None,
            max_forwards: 70,
            headers: Vec::new(),
        }
    }
}

impl Ring {
    /// Without a session description and unreliable.
    #[must_use]
    pub const fn plain(after_ms: u64, code: u16) -> Self {
        Self { after: Duration::from_millis(after_ms), code, sdp: false, reliable: false, fork: 0 }
    }
}

impl Script {
    /// Refuses with this code after 200 ms.
    #[must_use]
    pub fn refuses(code: u16) -> Self {
        let answers = vec![Answer { after: Duration::from_millis(200), code, fork: 0 }];
        Self { rings: Vec::new(), answers, ..Self::default() }
    }

    /// Hangs up this long after the answer.
    #[must_use]
    pub fn hanging_up(after_ms: u64) -> Self {
        Self { hangup: Some(Duration::from_millis(after_ms)), ..Self::default() }
    }

    /// Says nothing at all.
    #[must_use]
    pub fn deaf() -> Self {
        Self { deaf: true, ..Self::default() }
    }
}
