//! The runs as tests, for `cargo test` and nextest alike: each is this program again with `--seed`.

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::{Command, ExitCode};

/// The seeds that are run unless SEEDS says otherwise: a count from 1, or a range.
const SEEDS: std::ops::Range<u64> = 1..6;
/// Rules that are left out on purpose, and what some seed must show then: a new owner waits for the former one, a node is
/// fenced only when its lease has run out, a reader asks how far the tables are.
const FLAWS: [(&str, &str); 3] =
    [("no-handover", "both act for shard"), ("early-fence", "both act for shard"), ("stale-reads", "was no register")];
/// Seeds among which that is looked for: of five nodes, of which some share a site.
const TRIED: [u64; 6] = [3, 6, 9, 12, 15, 18];

/// What came of a run.
struct Ran {
    said: String,
    failed: bool,
}

/// Runs what the arguments ask for.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> =
        seeds().map(|seed| Trial::test(format!("seed_{seed}"), move || good(seed, None))).collect();
    trials.extend(
        topology::bundled::FAULTS
            .map(|(plan, _)| Trial::test(format!("plan_{}", plan.replace('-', "_")), move || good(1, Some(plan)))),
    );
    trials.push(Trial::test("the_same_seed_goes_the_same_way", the_same));
    trials.extend(FLAWS.map(|(flaw, shows)| {
        Trial::test(format!("{}_is_found", flaw.replace('-', "_")), move || is_found(flaw, shows))
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return SEEDS };
    let range = match text.split_once("..") {
        Some((first, end)) => first.parse().ok().zip(end.parse().ok()).map(|(first, end)| first..end),
        None => text.parse::<u64>().ok().map(|count| 1..count + 1),
    };
    range.expect("SEEDS is a count, or a range such as 100..200")
}

fn words(seed: u64, plan: Option<&str>, flaw: Option<&str>) -> Vec<String> {
    let mut words = vec!["--seed".to_owned(), seed.to_string()];
    for (key, value) in [("--plan", plan), ("--flaw", flaw)] {
        words.extend(value.into_iter().flat_map(|value| [key.to_owned(), value.to_owned()]));
    }
    words
}

fn ran(words: &[String]) -> Result<Ran, Failed> {
    let output = Command::new(std::env::current_exe()?).args(words).arg("--quiet").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(Ran { said, failed: !output.status.success() })
}

fn good(seed: u64, plan: Option<&str>) -> Result<(), Failed> {
    let words = words(seed, plan, None);
    let Ran { said, failed } = ran(&words)?;
    if failed {
        return Err(format!("{said}\nreplay: cargo test -p tests --test sim -- {}", words.join(" ")).into());
    }
    Ok(())
}

fn the_same() -> Result<(), Failed> {
    let words = words(2, None, None);
    let (once, again) = (ran(&words)?, ran(&words)?);
    if once.failed || once.said != again.said {
        return Err(format!("it went\n{}\nand then\n{}", once.said, again.said).into());
    }
    Ok(())
}

/// Some seed shows that the rule is left out.
fn is_found(flaw: &str, shows: &str) -> Result<(), Failed> {
    for seed in TRIED {
        let Ran { said, failed } = ran(&words(seed, None, Some(flaw)))?;
        if failed && said.contains(shows) {
            return Ok(());
        }
        if failed {
            return Err(format!("seed {seed} with {flaw} fails in another way:\n{said}").into());
        }
    }
    Err(format!("none of the seeds {TRIED:?} shows {flaw}").into())
}
