//! The one binary: a node, its demo, its clients and the load generator.
//!
//! Exit codes: 0 done; 1 it ran and what it promised did not hold, or something stands in the way that may pass, such as a taken
//! port; 2 wrong input, with one line on what, where and how to mend it.

mod allocator;
mod base64;
mod cli;
mod client;
mod config;
mod demo;
mod generate;
mod limits;
mod logging;
mod machine;
mod node_command;
mod switchboard;
mod top;
mod watchdog;

use clap::Parser;
use std::process::ExitCode;

/// A call allocates from many threads and frees on others; glibc's arenas keep what it freed.
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            logging::complain(&error);
            let passes = client::is_fault_of_node(&error) || node_command::may_pass(&error);
            ExitCode::from(if passes { 1 } else { 2 })
        }
    }
}
