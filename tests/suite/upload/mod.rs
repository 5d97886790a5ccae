//! The machine of one upload, in a simulated world.

mod blobs;
mod by_hand;
mod endings;
mod leases;
mod losses;
mod quota;
mod reports;
mod seeds;
mod uri;
mod weather;
mod world;
