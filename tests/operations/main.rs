//! What operations see: Prometheus itself, with the rules, alerts and dashboards of `deploy/`, reads three sites that carry calls
//! while a partner refuses, audio goes missing and a site dies. Each fault must fire its alert within two minutes, which must name
//! who it is; every panel of every dashboard must show something.

mod dashboards;
mod prometheus;
mod rules;
mod traffic;

use prometheus::Prometheus;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::cluster::{ALPHA, BETA, CARRIER_PORT};
use tests::process::{report, sleep_until};
use tests::{Cluster, Lab, Sipp};
use traffic::Traffic;

/// An alert fires within this time of its fault.
const LIMIT: Duration = Duration::from_secs(120);
/// Before a partner can be seen to get worse it must have been seen well: the shortest window of the rules, and some scrapes.
const WARM: Duration = Duration::from_secs(80);

/// Waits for one of the alerts with this label, and tells how long it took.
#[track_caller]
fn fires(prometheus: &Prometheus<'_>, since: Instant, what: &str, alerts: &[&str], label: (&str, &str)) {
    let fired = prometheus.wait_alert(LIMIT, alerts, label);
    let took = since.elapsed();
    report(&format!("{what}: {fired} of {} {} fired after {:.1} s", label.0, label.1, took.as_secs_f64()));
    assert!(took <= LIMIT, "{what}: {took:?}");
}

#[test]
fn each_fault_fires_its_alert_and_every_panel_shows_something() {
    let Some(program) = prometheus::installed() else {
        return report("prometheus is not here: alerts and dashboards were not tried (scripts/install test)");
    };
    let lab = Lab::beside();
    let mut cluster = Cluster::serving(&lab);
    let prometheus = Prometheus::start(&program, &lab, &cluster);
    let began = Instant::now();
    let well = Traffic::to(&lab, &cluster, ALPHA);
    let other = Traffic::to(&lab, &cluster, BETA);
    sleep_until(began + WARM);
    other.end();

    let since = Instant::now();
    let refusing = Sipp::new(&lab, BETA, "callee_refuses")
        .set("answer", "503 Service Unavailable")
        .port(CARRIER_PORT)
        .serve(100_000);
    let callers = Traffic::from_callers_to(&lab, &cluster, BETA);
    fires(
        &prometheus,
        since,
        "a partner answers 503",
        &["TrunkNerFell", "TrunkDeliversNothing", "TrunkUnreachable"],
        ("trunk", "beta"),
    );
    callers.end();
    refusing.kill();

    well.end();
    let since = Instant::now();
    let mute = Sipp::new(&lab, ALPHA, "callee").set("ring", "100").port(CARRIER_PORT).serve(100_000);
    let callers = Traffic::from_callers_to(&lab, &cluster, ALPHA);
    fires(&prometheus, since, "a partner sends no audio", &["TrunkOneWayAudio"], ("trunk", "alpha"));
    callers.end();
    mute.kill();

    let well = Traffic::to(&lab, &cluster, ALPHA);
    well.wait_up();
    let leader = cluster.leader().expect("somebody leads");
    let dies = cluster.other_than(&leader);
    let (name, site) = (dies.name().to_owned(), dies.site().to_owned());
    let since = Instant::now();
    cluster.kill(&name);
    fires(&prometheus, since, "a site dies", &["SiteDown"], ("site", &site));
    cluster.restart(&name);
    cluster.wait_formed();
    // What a call comes to is counted at its end.
    sleep_until(Instant::now() + traffic::HOLD + prometheus::SCRAPE * 2);
    well.end();
    if let Some(missing) = cluster.missing() {
        panic!("nobody else was to die: {missing}\n{}", cluster.logs());
    }
    // For people to look at; that it can draw what Prometheus answers is tried each time.
    let pictures = std::env::var_os("TANDEM_PICTURES").map_or_else(|| lab.path("pictures"), PathBuf::from);
    dashboards::draw(&prometheus, began.elapsed(), &pictures);
    let empty = dashboards::empty_panels(&prometheus, began.elapsed());
    assert!(empty.is_empty(), "panels without data:\n{}", empty.join("\n"));
}
