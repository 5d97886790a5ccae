//! The words for what came of a request.

use crate::upload::fault::{BlobFault, Fault};

/// Every word for the result of a request to the service.
pub(super) const FAULTS: [&str; 9] =
    ["ok", "transient", "throttled", "gone", "unauthorised", "not_permitted", "quota", "conflict", "refused"];

/// Returns the word for why the service did not do something.
pub(super) const fn fault_word(fault: &Fault) -> &'static str {
    match fault {
        Fault::Transient { retry_after: None } => "transient",
        Fault::Transient { retry_after: Some(_) } => "throttled",
        Fault::Gone => "gone",
        Fault::Unauthorised => "unauthorised",
        Fault::NotPermitted => "not_permitted",
        Fault::Quota { .. } => "quota",
        Fault::Conflict => "conflict",
        Fault::Refused { .. } => "refused",
    }
}

/// Returns the word for why the store did not do something.
pub(super) const fn blob_word(fault: &BlobFault) -> &'static str {
    match fault {
        BlobFault::Transient { retry_after: None } => "transient",
        BlobFault::Transient { retry_after: Some(_) } => "throttled",
        BlobFault::Forbidden => "forbidden",
        BlobFault::NotFound => "not_found",
        BlobFault::BlocksLost => "blocks_lost",
        BlobFault::Bundle => "bundle",
        BlobFault::Refused { .. } => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_for_a_fault_is_among_those_that_begin_at_zero() {
        let waits = |retry_after| [Fault::Transient { retry_after }, Fault::Quota { retry_after }];
        let others =
            [Fault::Gone, Fault::Unauthorised, Fault::NotPermitted, Fault::Conflict, Fault::Refused { status: 400 }];
        let all = waits(None).into_iter().chain(waits(Some(std::time::Duration::ZERO))).chain(others);
        let mut words: Vec<&str> = all.map(|fault| fault_word(&fault)).chain(["ok"]).collect();
        words.sort_unstable();
        words.dedup();
        let mut begun = FAULTS.to_vec();
        begun.sort_unstable();
        assert_eq!(words, begun);
    }
}
