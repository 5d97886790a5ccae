//! What an upload decides, computed and never performed: its machine, its
//! lease, its pace, the ledger of its blocks and what it reports of them.

pub mod fault;
pub mod uri;
