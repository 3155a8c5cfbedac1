//! `tandem load`: calls and audio at a rate, for benchmarks and acceptance tests of a deployment.

use crate::logging::say;
use anyhow::bail;
use clap::Args;
use load::{Codec, Credentials, Hangup, Mix, NumberRange, Options, Progress};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// `tandem load`
#[derive(Args)]
pub(crate) struct Arguments {
    /// The switch under test; given several times, calls go to each in turn.
    #[arg(long, required = true)]
    target: Vec<SocketAddr>,
    /// Where the callers send from; their audio uses the same address.
    #[arg(long, default_value = "127.0.9.1:5060")]
    caller: SocketAddr,
    /// Where the callees listen; leave it out when they are elsewhere.
    #[arg(long)]
    callee: Option<SocketAddr>,
    /// Calls a second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Seconds for which calls are started.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// At most so many calls.
    #[arg(long)]
    calls: Option<u64>,
    /// Seconds from answer to BYE.
    #[arg(long, default_value_t = 1.0)]
    hold: f64,
    /// Seconds of ringing.
    #[arg(long, default_value_t = 0.05)]
    ring: f64,
    /// Send audio both ways and compare every sample.
    #[arg(long)]
    audio: bool,
    /// The codec of the audio.
    #[arg(long, value_enum, default_value = "pcma")]
    codec: CodecName,
    /// The first caller's number.
    #[arg(long, default_value = "+442071000000")]
    from: String,
    /// The first number called.
    #[arg(long, default_value = "+447700000000")]
    to: String,
    /// User name for digest.
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Password for digest.
    #[arg(long, requires = "username")]
    password: Option<String>,
    /// Shares of answered, busy, cancelled and unanswered calls, such as 7,1,1,1.
    #[arg(long, default_value = "1,0,0,0")]
    mix: String,
    /// Who ends answered calls.
    #[arg(long, value_enum, default_value = "caller")]
    hangup: Side,
    /// Only answer: no call is placed.
    #[arg(long, requires = "callee")]
    serve: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CodecName {
    Pcma,
    Pcmu,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Side {
    Caller,
    Callee,
}

/// Runs, prints the report, and exits with 1 unless every call did what it was meant to.
///
/// # Errors
/// The arguments contradict each other, or an address cannot be bound.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    crate::limits::raise_open_files();
    let options = options(arguments)?;
    let progress = Arc::new(Progress::default());
    let report = if arguments.serve { load::serve(&options, &progress)? } else { load::run(&options, &progress)? };
    say(&if arguments.json { serde_json::to_string(&report)? } else { report.to_string() });
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    for (name, seconds) in [("seconds", arguments.seconds), ("hold", arguments.hold), ("ring", arguments.ring)] {
        if !(0.0..=86_400.0).contains(&seconds) {
            bail!("--{name} {seconds}: give seconds between 0 and 86400");
        }
    }
    let [target, more @ ..] = &arguments.target[..] else { bail!("--target: name the switch under test") };
    let mut options = Options::new(arguments.caller, arguments.callee, *target);
    options.more_targets = more.to_vec();
    options.rate = arguments.rate;
    options.calls = arguments.calls;
    options.duration = Duration::from_secs_f64(arguments.seconds);
    options.hold = Duration::from_secs_f64(arguments.hold);
    options.ring = Duration::from_secs_f64(arguments.ring);
    options.audio = arguments.audio;
    options.codec = match arguments.codec {
        CodecName::Pcma => Codec::Pcma,
        CodecName::Pcmu => Codec::Pcmu,
    };
    options.caller_numbers = NumberRange { first: arguments.from.clone(), ..options.caller_numbers };
    options.called_numbers = NumberRange { first: arguments.to.clone(), ..options.called_numbers };
    options.mix = mix(&arguments.mix)?;
    options.hangup = match arguments.hangup {
        Side::Caller => Hangup::Caller,
        Side::Callee => Hangup::Callee,
    };
    if let (Some(username), Some(password)) = (&arguments.username, &arguments.password) {
        options.credentials = Some(Credentials { username: username.clone(), password: password.clone() });
    }
    Ok(options)
}

fn mix(text: &str) -> anyhow::Result<Mix> {
    let shares: Option<Vec<u32>> = text.split(',').map(|share| share.trim().parse().ok()).collect();
    match shares.as_deref() {
        Some([answered, busy, cancelled, no_answer]) => {
            Ok(Mix { answered: *answered, busy: *busy, cancelled: *cancelled, no_answer: *no_answer })
        }
        _ => bail!("--mix {text}: give four numbers, such as 7,1,1,1"),
    }
}
