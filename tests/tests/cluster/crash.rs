//! Pods, processes and controllers die at bad moments: nothing is lost, and what is sent twice has the key it had before.

mod controller;
mod leaders;
mod moments;
mod worker;
