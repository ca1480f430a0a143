//! Selection of the pool and block for a claim, by pool name or by label selector.

use address::{Family, Prefix};
use apimachinery::{
    command::ObjectKey,
    field::{FieldError, FieldErrorType},
    selector::LabelSelector,
    status_error::{StatusError, StatusReason},
};

use super::{PLURAL, check::PoolSource};
use crate::{
    GROUP,
    pool_selection::{self, Request, Requester, SelectionError},
    spec,
    state::{AllocatorState, Pool},
    types::PoolRef,
};

/// Returns the pool and the block for a claim.
pub(super) fn find<'w>(
    state: &'w AllocatorState,
    key: &ObjectKey,
    source: &PoolSource,
    request: Request,
) -> Result<(&'w Pool, Prefix), SelectionError> {
    match source {
        PoolSource::Named(pool) => {
            let pool = pool_by_name(state, key, pool)?;
            let found = pool_selection::find_block(pool, request);
            Ok((pool, found.map_err(|no_fit| no_fit.to_error(request, &key.name, pool, 0))?))
        }
        // Pools of other projects never match, because tenants are not implemented yet.
        PoolSource::Matching(_, Some(_)) => Err(no_match_error().into()),
        PoolSource::Matching(labels, None) => pool_by_labels(state, key, labels, request),
    }
}

/// Returns the pool that a claim names.
///
/// This function, and the scope that a selector searches, must follow `projectRef` once tenants are implemented. Until
/// then every `projectRef` is forbidden.
fn pool_by_name<'w>(state: &'w AllocatorState, key: &ObjectKey, pool: &PoolRef) -> Result<&'w Pool, SelectionError> {
    if let Some(project) = &pool.project_ref {
        let message = format!(
            "{PLURAL}.{GROUP} \"{}\" is forbidden: no permission to use IPPool \"{}\" of project \"{}\"",
            key.name, pool.name, project.name
        );
        return Err(StatusError::new(StatusReason::Forbidden, message).with_details(GROUP, PLURAL, &key.name).into());
    }
    let absent = || SelectionError::PoolAbsent(pool_selection::pool_not_found_error("poolRef", &pool.name));
    let found = state.pool(&key.scope, &pool.name).ok_or_else(absent)?;
    if found.object.is_terminating() {
        return Err(pool_selection::pool_terminating_error(Requester::Claim, &key.name, found).into());
    }
    Ok(found)
}

/// Returns the pool that serves the request among those that match the selector, and the block.
fn pool_by_labels<'w>(
    state: &'w AllocatorState,
    key: &ObjectKey,
    labels: &LabelSelector,
    request: Request,
) -> Result<(&'w Pool, Prefix), SelectionError> {
    let matches = || state.pools(&key.scope).filter(move |pool| labels.matches(&pool.object.metadata.labels));
    let candidates = || matches().filter(|pool| !pool.object.is_terminating());
    if request.leaves_family_open() && state.has_both_families(&key.scope) {
        let first_of = |family| candidates().find(|pool| pool.block().family() == family);
        if let (Some(four), Some(six)) = (first_of(Family::V4), first_of(Family::V6)) {
            return Err(pool_selection::ambiguous_family_error(&key.name, four, six).into());
        }
    }
    pool_selection::select_pool(candidates(), request).map_err(|best_rejection| match best_rejection {
        Some((pool, no_fit, others)) => no_fit.to_error(request, &key.name, pool, others).into(),
        None => match matches().next() {
            Some(terminating) => only_terminating_error(terminating).into(),
            None => SelectionError::PoolAbsent(no_match_error()),
        },
    })
}

fn no_match_error() -> StatusError {
    no_match_because("no IPPool matches spec.poolSelector")
}

fn only_terminating_error(pool: &Pool) -> StatusError {
    no_match_because(&format!(
        "no IPPool matches spec.poolSelector but \"{}\", which is being deleted and hands out nothing new",
        pool.name()
    ))
}

fn no_match_because(message: &str) -> StatusError {
    let error = FieldError {
        path: spec::path("poolSelector"),
        error_type: FieldErrorType::Other("NoPoolMatch"),
        message: message.to_owned(),
    };
    StatusError::bad_request(message).with_cause(&error)
}
