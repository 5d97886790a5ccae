//! The machine of one upload, in a simulated world.

mod leases;
mod losses;
mod seeds;
mod weather;
mod world;
