//! The machine of one upload, in a simulated world.

mod losses;
mod seeds;
mod weather;
mod world;
