//! Several nodes as real processes: they form a cluster, change their tables anywhere, and outlive what breaks.

mod abuse;
mod backups;
mod calls;
mod changes;
mod clocks;
mod dialog;
mod distance;
mod faults;
mod forming;
mod harness;
mod imports;
mod ladder;
mod limits;
mod newer;
mod phones;
mod raw;
mod records;
mod strangers;
mod tables;
mod traces;
mod views;
