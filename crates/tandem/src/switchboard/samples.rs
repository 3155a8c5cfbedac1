//! The figures of what comes and goes on this node, as they are at this moment.

use console::Sample;
use switch::shell::Shell;
use trunk::gateway::State;

/// Of trunks, gateways, other nodes and the relay.
pub(super) fn of(shell: &Shell) -> Vec<Sample> {
    let mut all = trunks(shell);
    all.extend(shell.cluster.mesh().into_iter().flat_map(mesh::Handle::peers).flat_map(|peer| peer_of(&peer)));
    let cpu = shell.relay.gauges().cpu.as_secs_f64();
    all.push(Sample::new("tandem_relay_cpu_seconds_total", &[], cpu));
    all
}

fn trunks(shell: &Shell) -> Vec<Sample> {
    let view = shell.tables.view();
    let mut all = Vec::new();
    for (trunk, active) in shell.trunks.active(&view) {
        for (direction, calls) in ["ingress", "egress"].into_iter().zip(active) {
            let labels = [("trunk", &*trunk), ("direction", direction)];
            all.push(Sample::new("tandem_calls_active", &labels, calls as f64));
        }
    }
    for trunk in shell.trunks.standings(&view) {
        let limit = trunk.channels.map_or(0.0, f64::from);
        all.push(Sample::new("tandem_channels_limit", &[("trunk", &*trunk.name)], limit));
        for (gateway, state) in &trunk.gateways {
            let up = match state {
                // Calls go there all the same, but whether it answers nobody knows.
                State::Unknown => continue,
                State::Up => 1.0,
                State::Down => 0.0,
            };
            let labels = [("trunk", &*trunk.name), ("gateway", &**gateway)];
            all.push(Sample::new("tandem_gateway_up", &labels, up));
        }
    }
    all
}

fn peer_of(peer: &mesh::Peer) -> Vec<Sample> {
    let labels = [("peer", peer.name.as_str())];
    let mut all = vec![Sample::new("tandem_node_up", &labels, if peer.is_up() { 1.0 } else { 0.0 })];
    all.extend(peer.rtt.map(|rtt| Sample::new("tandem_mesh_round_trip_seconds", &labels, rtt.as_secs_f64())));
    all
}
