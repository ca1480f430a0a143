//! POST, PUT, PATCH and DELETE of one object: from a request body to a command, and from the result to a response.

use std::sync::Arc;

use apimachinery::{
    body,
    command::{Action, Apply, Command, ObjectKey, UpdateOperation, WriteResult},
    decoding::{DecodedObject, ObjectDecoder},
    kind::State,
    metadata,
    negotiate::{self, Representation, ResponseShape},
    occurrence::Occurrence,
    options::{DeleteOptions, FieldValidation, OptionsKind, WriteOptions},
    patch::{PatchType, is_apply, is_strategic},
    status_error::{Status, StatusError, StatusReason},
    view::View,
};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::{
    body::Body, clock, committer::Committed, context::ApiContext, limits, request_scope::RequestScope, respond,
    stages::Decoded,
};

/// Creates the object in the body.
pub async fn create<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let representation = representation(request)?;
    let options = WriteOptions::parse(&request.query, OptionsKind::Create)?;
    let decoded = decode_body(place, "", request, options.field_validation)?;
    let (given, base) = (decoded.object.metadata.name.clone(), decoded.object.metadata.generate_name.clone());
    let generated = given.is_empty() && !base.is_empty();
    let submit = async |decoded: Box<DecodedObject>| {
        let entropy = (api.random_source)()?;
        let name = if generated { metadata::generate_name(&base, entropy.name_suffix()) } else { given.clone() };
        let command = Command {
            key: place.key(&name),
            view: place.view(),
            action: Action::Create(decoded),
            manager: manager(request, &options),
            dry_run: options.dry_run,
            now: clock::now(),
            entropy,
            permissions: request.permissions.clone(),
            body_bytes: request.body.len(),
        };
        commit(api, place, &name, command).await
    };
    let is_taken = |refusal: &StatusError| generated && refusal.reason == StatusReason::AlreadyExists;
    let tries = if generated { limits::GENERATED_NAME_TRIES } else { 1 };
    for _ in 1..tries {
        match submit(decoded.clone()).await {
            Err(refusal) if is_taken(&refusal) => {}
            result => return write_response(representation, place, result?),
        }
    }
    let last = submit(decoded).await;
    let committed = last.map_err(|refusal| if is_taken(&refusal) { no_unique_name(refusal) } else { refusal })?;
    write_response(representation, place, committed)
}

/// Decodes the object in the body.
fn decode_body<W>(
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
    validation: FieldValidation,
) -> Result<Box<DecodedObject>, StatusError> {
    let body = body::decode(request.content_type(), &request.body)?;
    ObjectDecoder { resource: place.resource, schema: place.schema, name, validation }.decode_body(body).map(Box::new)
}

fn no_unique_name(mut refusal: StatusError) -> StatusError {
    refusal.message.push_str(", the server was not able to generate a unique name for the object");
    refusal.retry_after(1)
}

/// Replaces the object by the one in the body.
pub async fn replace<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let options = WriteOptions::parse(&request.query, OptionsKind::Update)?;
    let decoded = decode_body(place, name, request, options.field_validation)?;
    update(api, place, name, request, UpdateOperation::Replace(decoded), &options).await
}

/// Patches the object. The patch is applied to the stored version, and again if the object has changed before the
/// command is decided.
pub async fn patch<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let content_type = request.content_type().unwrap_or_default();
    if is_apply(content_type) {
        return apply(api, place, name, request).await;
    }
    let patch_type = if is_strategic(content_type) && place.resource.is_native() {
        PatchType::Strategic
    } else {
        PatchType::from_content_type(content_type)?
    };
    let options = WriteOptions::parse(&request.query, OptionsKind::Patch)?;
    let change = match patch_type.read(&request.body) {
        Ok(patch) => UpdateOperation::Patch(patch, options.field_validation),
        Err(refusal) if refusal.reason == StatusReason::BadRequest && is_json(&request.body) => {
            UpdateOperation::MalformedPatch(refusal)
        }
        Err(refusal) => return Err(refusal),
    };
    update(api, place, name, request, change, &options).await
}

/// True if the body is valid JSON.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// Server-side apply. The body is YAML, of which JSON is a subset. Duplicate fields are rejected for every
/// `fieldValidation`, because it is ambiguous which value the manager applies.
async fn apply<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let options = WriteOptions::parse(&request.query, OptionsKind::Apply)?;
    let body = body::decode(Some("application/yaml"), &request.body)?;
    if let Some(path) = body.duplicates.first() {
        return Err(StatusError::bad_request(format!("error decoding YAML: duplicate field \"{path}\"")));
    }
    let apply = Apply { config: body.value, force: options.force };
    let action = Action::Apply { apply, subresource: place.subresource };
    submit(api, place, name, request, action, &options).await
}

async fn update<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
    change: UpdateOperation,
    options: &WriteOptions,
) -> Result<Response<Body>, StatusError> {
    let action = Action::Update { change, subresource: place.subresource };
    submit(api, place, name, request, action, options).await
}

async fn submit<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
    action: Action,
    options: &WriteOptions,
) -> Result<Response<Body>, StatusError> {
    let representation = representation(request)?;
    let command = Command {
        key: place.key(name),
        view: place.view(),
        action,
        manager: manager(request, options),
        dry_run: options.dry_run,
        now: clock::now(),
        entropy: (api.random_source)()?,
        permissions: request.permissions.clone(),
        body_bytes: request.body.len(),
    };
    write_response(representation, place, commit(api, place, name, command).await?)
}

/// Submits a command for the object `name`. An API error may cause an event about another object: the request's task
/// records that after the committer has answered.
async fn commit<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    command: Command,
) -> Result<Committed, StatusError> {
    let is_meant = !command.dry_run;
    let outcome = api.queue.submit(command).await;
    if let (Err(refusal), Some(event_queue)) = (&outcome, api.event_queue.as_ref().filter(|_| is_meant))
        && let Some(regarding) = &refusal.regarding
        && let Some(content) = place.kind.event_for_error(&place.key(name), refusal)
    {
        let (regarding, scope) = (Arc::clone(regarding), place.scope.clone());
        event_queue.record(Occurrence { regarding, scope, content }, clock::now());
    }
    outcome
}

/// The field manager: that of the request, or else the one derived from its user agent.
fn manager(request: &Decoded, options: &WriteOptions) -> String {
    let agent = || metadata::field_manager_from_user_agent(request.user_agent().unwrap_or_default());
    options.field_manager.clone().unwrap_or_else(agent)
}

/// Deletes the object, or begins its deletion.
pub async fn delete<W: State>(
    api: &ApiContext<W>,
    place: &RequestScope<'_, W>,
    name: &str,
    request: &Decoded,
) -> Result<Response<Body>, StatusError> {
    let representation = representation(request)?;
    let options = delete_options(request)?;
    let orphan_dependents_false = options.orphan_dependents_false;
    let committed = api.queue.submit(delete_command(api, place.key(name), place.view(), options, request)?).await?;
    let gone = matches!(committed.answer, WriteResult::Deleted(_));
    let mut response = write_response(representation, place, committed)?;
    if orphan_dependents_false && !gone {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

fn representation(request: &Decoded) -> Result<Representation, StatusError> {
    negotiate::negotiate(request.accept().as_deref(), ResponseShape::Object, &request.query)
}

/// The options of a deletion, from body and query.
pub fn delete_options(request: &Decoded) -> Result<DeleteOptions, StatusError> {
    let body =
        if request.body.is_empty() { None } else { Some(body::decode(request.content_type(), &request.body)?.value) };
    DeleteOptions::parse(body.as_ref(), &request.query)
}

/// The command that deletes an object.
pub fn delete_command<W>(
    api: &ApiContext<W>,
    key: ObjectKey,
    view: Option<&'static View>,
    options: DeleteOptions,
    request: &Decoded,
) -> Result<Command, StatusError> {
    let (manager, permissions) = (String::new(), request.permissions.clone());
    let (dry_run, action) = (options.dry_run, Action::Delete(options));
    let body_bytes = request.body.len();
    Ok(Command {
        key,
        view,
        action,
        manager,
        dry_run,
        now: clock::now(),
        entropy: (api.random_source)()?,
        permissions,
        body_bytes,
    })
}

/// The response to a successful write.
fn write_response<W>(
    representation: Representation,
    place: &RequestScope<'_, W>,
    committed: Committed,
) -> Result<Response<Body>, StatusError> {
    let Committed { answer, object, warnings } = committed;
    let code = if matches!(answer, WriteResult::Created) { 201 } else { 200 };
    let response = match (answer, object) {
        (WriteResult::Deleted(details), _) => respond::status(&Status::success(details)),
        (_, Some((object, bytes))) => {
            let (object, bytes) = place.apply_view(object, bytes);
            respond::object(representation, place.resource, &object, bytes, code)?
        }
        (_, None) => respond::body(code, respond::JSON, Bytes::from_static(b"{}")),
    };
    Ok(respond::warn(response, &warnings))
}
