//! How fast a destination is spoken to: rates in sliding windows, requests in flight, pauses that it asks for.

mod adaptive;
mod breaker;
mod gate;
mod hints;
mod usage;
mod windows;

pub(crate) use adaptive::Concurrency;
pub(crate) use gate::{Gate, Permit, Spend};
pub(crate) use hints::{Hint, HintHeaders, LONGEST, seconds};
pub(crate) use usage::{Kept, Usage};
pub(crate) use windows::Rate;
