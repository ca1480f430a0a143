//! Selection of the pool and block for a claim, by pool name or by label selector.

use address::{Family, Prefix};
use apimachinery::{
    command::ObjectKey,
    field::{FieldError, FieldErrorType},
    selector::LabelSelector,
    status_error::{StatusError, StatusReason},
};

use super::{PLURAL, check::Source};
use crate::{
    GROUP,
    choose::{self, Purpose, Request, Unserved},
    spec,
    types::PoolRef,
    world::{Pool, World},
};

/// Returns the pool and the block for a claim.
pub(super) fn find<'w>(
    world: &'w World,
    key: &ObjectKey,
    source: &Source,
    request: Request,
) -> Result<(&'w Pool, Prefix), Unserved> {
    match source {
        Source::Named(pool) => {
            let pool = named(world, key, pool)?;
            let found = choose::fit(pool, request);
            Ok((pool, found.map_err(|misfit| misfit.refuse(request, &key.name, pool, 0))?))
        }
        // Pools of other projects never match, because tenants are not implemented yet.
        Source::Matching(_, Some(_)) => Err(no_match().into()),
        Source::Matching(labels, None) => matching(world, key, labels, request),
    }
}

/// Returns the pool that a claim names.
///
/// This function, and the scope that a selector searches, must follow `projectRef` once tenants are implemented. Until
/// then every `projectRef` is forbidden.
fn named<'w>(world: &'w World, key: &ObjectKey, pool: &PoolRef) -> Result<&'w Pool, Unserved> {
    if let Some(project) = &pool.project_ref {
        let message = format!(
            "{PLURAL}.{GROUP} \"{}\" is forbidden: no permission to use IPPool \"{}\" of project \"{}\"",
            key.name, pool.name, project.name
        );
        return Err(StatusError::new(StatusReason::Forbidden, message).with_details(GROUP, PLURAL, &key.name).into());
    }
    let absent = || Unserved::Absent(choose::pool_not_found("poolRef", &pool.name));
    let found = world.pool(&key.scope, &pool.name).ok_or_else(absent)?;
    if found.object.is_terminating() {
        return Err(choose::pool_terminating(Purpose::Claim, &key.name, found).into());
    }
    Ok(found)
}

/// Returns the pool that serves the request among those that match the selector, and the block.
fn matching<'w>(
    world: &'w World,
    key: &ObjectKey,
    labels: &LabelSelector,
    request: Request,
) -> Result<(&'w Pool, Prefix), Unserved> {
    let matches = || world.pools(&key.scope).filter(move |pool| labels.matches(&pool.object.metadata.labels));
    let candidates = || matches().filter(|pool| !pool.object.is_terminating());
    if request.leaves_family_open() && world.has_both_families(&key.scope) {
        let first_of = |family| candidates().find(|pool| pool.block().family() == family);
        if let (Some(four), Some(six)) = (first_of(Family::V4), first_of(Family::V6)) {
            return Err(choose::both_families(&key.name, four, six).into());
        }
    }
    choose::among(candidates(), request).map_err(|nearest| match nearest {
        Some((pool, misfit, others)) => misfit.refuse(request, &key.name, pool, others).into(),
        None => match matches().next() {
            Some(terminating) => only_terminating(terminating).into(),
            None => Unserved::Absent(no_match()),
        },
    })
}

fn no_match() -> StatusError {
    no_match_because("no IPPool matches spec.poolSelector")
}

fn only_terminating(pool: &Pool) -> StatusError {
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
