//! What an upload decides, computed and never performed: its machine, its
//! lease, its pace, the ledger of its blocks and what it reports of them.

pub mod event;
pub mod fault;
pub mod lease;
pub mod ledger;
pub mod machine;
pub mod outcome;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod quota;
pub mod reach;
pub mod record;
pub mod uri;
