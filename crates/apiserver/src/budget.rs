//! A bound on bytes held at the same time: of request bodies, and of commands in the committer's queue.
//!
//! The first bytes of each holder are charged to one account, and those beyond to another. Large holders therefore
//! leave room for small ones: a small write is never rejected because of other requests' large objects.

use std::sync::Arc;

use apimachinery::status_error::{StatusError, StatusReason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The bytes that can be charged.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: usize,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Charged bytes, returned when this is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    bytes: usize,
    permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Budget {
    /// A budget of `bytes` for the first [`limits::SMALL_BYTES_MAX`] of each holder, and another of `bytes` for the
    /// rest. A holder larger than the whole budget is charged the whole budget.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, small: Arc::new(Semaphore::new(bytes)), large: Arc::new(Semaphore::new(bytes)) }
    }

    /// Charges `bytes`.
    ///
    /// # Errors
    /// 429 if the budget does not have them.
    pub fn charge(&self, bytes: usize) -> Result<Charge, StatusError> {
        let mut charge = Charge::default();
        self.grow(&mut charge, bytes)?;
        Ok(charge)
    }

    /// Adds `bytes` to a charge.
    ///
    /// # Errors
    /// 429 if the budget does not have them. The charge is unchanged.
    pub fn grow(&self, charge: &mut Charge, bytes: usize) -> Result<(), StatusError> {
        let (before, after) = (charge.bytes, charge.bytes.saturating_add(bytes));
        let small = |bytes: usize| bytes.min(limits::SMALL_BYTES_MAX);
        let large = |bytes: usize| bytes.saturating_sub(limits::SMALL_BYTES_MAX).min(self.bytes);
        let small = take(&self.small, small(after) - small(before))?;
        let large = take(&self.large, large(after) - large(before))?;
        for (held, new) in charge.permits.iter_mut().zip([small, large]) {
            match (held, new) {
                (Some(held), Some(new)) => held.merge(new),
                (held, Some(new)) => *held = Some(new),
                (_, None) => {}
            }
        }
        charge.bytes = after;
        Ok(())
    }
}

fn take(account: &Arc<Semaphore>, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, StatusError> {
    if bytes == 0 {
        return Ok(None);
    }
    let permit = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(account).try_acquire_many_owned(bytes).ok());
    permit.map(Some).ok_or_else(exhausted)
}

fn exhausted() -> StatusError {
    let message = "the writing requests in progress hold too many bytes, please try again later";
    StatusError::new(StatusReason::TooManyRequests, message).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_charges_leave_room_for_small_ones() {
        let budget = Budget::new(4 * limits::SMALL_BYTES_MAX);
        let large = budget.charge(4 * limits::SMALL_BYTES_MAX).unwrap();
        let refused = budget.charge(3 * limits::SMALL_BYTES_MAX).unwrap_err();
        assert_eq!((refused.reason, refused.details.retry_after_seconds), (StatusReason::TooManyRequests, 1));
        let small: Vec<_> = (0..3).map(|_| budget.charge(limits::SMALL_BYTES_MAX).unwrap()).collect();
        assert!(budget.charge(1).is_err(), "the small ones have a bound, too");
        drop((large, small));
        budget.charge(4 * limits::SMALL_BYTES_MAX).unwrap();
    }

    #[test]
    fn holder_larger_than_the_budget_takes_all_of_it() {
        let budget = Budget::new(4 * limits::SMALL_BYTES_MAX);
        let large = budget.charge(100 * limits::SMALL_BYTES_MAX).unwrap();
        assert!(budget.charge(2 * limits::SMALL_BYTES_MAX).is_err());
        drop(large);
        budget.charge(2 * limits::SMALL_BYTES_MAX).unwrap();
    }

    #[test]
    fn charge_can_grow_and_is_returned_completely_on_drop() {
        let budget = Budget::new(2 * limits::SMALL_BYTES_MAX);
        let mut charge = Charge::default();
        for _ in 0..6 {
            budget.grow(&mut charge, limits::SMALL_BYTES_MAX / 2).unwrap();
        }
        assert!(budget.charge(2 * limits::SMALL_BYTES_MAX).is_err(), "nothing is left of the large account");
        drop(charge);
        budget.charge(3 * limits::SMALL_BYTES_MAX).unwrap();
    }
}
