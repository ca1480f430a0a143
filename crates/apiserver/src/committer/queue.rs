//! The queue of the committer. The task that submits a command prepares it first, in parallel with other requests. A
//! command that can be rejected without the decision state never enters the queue.

use std::{
    collections::VecDeque,
    mem,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use apimachinery::{
    command::{Action, Command, ObjectKey, UpdateOperation},
    kind::{Kind, Registry, State},
    rbac::Permissions,
    rest::{self, PreparedCommand},
    schemas::Schemas,
    status_error::{StatusError, StatusReason},
    view::View,
};
use store::Store;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::{
    Committed, Committer,
    batch::{PendingReply, Verdict},
    version::Version,
};
use crate::{
    admission::Admission,
    budget::{Budget, Charge},
    errors, holders, keys, limits,
    metrics::{CommandLabels, Metrics, PreparedBy},
    write_path::{Ticket, WritePath},
};

/// The committer's reply.
pub enum SubmitResult {
    /// Done and durable.
    Committed(Committed),
    /// The object has changed since the command was prepared, and preparing it again is too much work for the
    /// committer.
    Outdated(Box<Outdated>),
}

/// A command to be prepared again.
pub struct Outdated {
    /// The command.
    pub command: Command,
    /// The current version of the object.
    pub current: Option<Version>,
}

/// The channel to a caller. Its command counts as waiting until a result is sent, even if the caller has disconnected.
pub struct ReplySender {
    caller: oneshot::Sender<Result<SubmitResult, StatusError>>,
    _ticket: Ticket,
}

impl ReplySender {
    /// True if the caller has timed out or disconnected.
    pub fn is_closed(&self) -> bool {
        self.caller.is_closed()
    }

    /// Sends the result. If the caller has disconnected since the decision, the result is dropped; the write stays
    /// committed.
    pub fn send(self, result: Result<SubmitResult, StatusError>) {
        drop(self.caller.send(result));
    }
}

/// A command in the queue, and the channel to its caller.
pub struct PendingCommand<W> {
    pub work: Work<W>,
    /// Objects that its decision reads in addition to its own.
    pub reads: Vec<ObjectKey>,
    /// The namespace that must exist if the command creates an object.
    pub namespace_to_check: Option<ObjectKey>,
    /// The labels of the command in the metrics.
    pub labels: CommandLabels,
    /// An estimate of the bytes that it adds to the batch.
    pub bytes: usize,
    pub reply: ReplySender,
    /// Its share of the queue's bytes.
    _charge: Charge,
}

/// Work for the committer, before it is in the queue.
struct Submission<W> {
    work: Work<W>,
    /// Size of the body plus the version that it was prepared for, in bytes.
    bytes: usize,
    ticket: Ticket,
    /// Warnings for the caller in addition to those of the decision.
    warnings: Vec<String>,
}

/// The work to decide.
pub enum Work<W> {
    /// A prepared command.
    Plan(Box<PreparedCommand<W>>),
    /// A deletion, which carries no object and needs no preparation; the object has not been read yet.
    Command(Box<Command>),
}

impl<W> Work<W> {
    /// The key of its object.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Plan(plan) => &plan.key,
            Self::Command(command) => &command.key,
        }
    }
}

impl<W> PendingCommand<W> {
    /// True if its caller has timed out or disconnected.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    pub fn refused(self, refusal: StatusError) -> PendingReply {
        PendingReply { reply: self.reply, labels: self.labels, verdict: Verdict::Refused(refusal), spent: None }
    }
}

/// The queue of the committer.
pub struct Queue<W> {
    sender: mpsc::Sender<PendingCommand<W>>,
    wake: Arc<Notify>,
    preparer: Arc<CommandPreparer<W>>,
    bytes: Budget,
}

impl<W> Clone for Queue<W> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            wake: Arc::clone(&self.wake),
            preparer: Arc::clone(&self.preparer),
            bytes: self.bytes.clone(),
        }
    }
}

impl<W: State> Queue<W> {
    pub(super) fn new(
        sender: mpsc::Sender<PendingCommand<W>>,
        wake: Arc<Notify>,
        preparer: CommandPreparer<W>,
    ) -> Self {
        Self { sender, wake, preparer: Arc::new(preparer), bytes: Budget::new(limits::QUEUE_BYTES_MAX) }
    }

    /// Wakes the committer to check whether other replicas have committed: a request waits for a revision.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Prepares a command, submits it and waits for its result. A caller that drops the future withdraws the command,
    /// unless it has been decided already. An API error for a taken range names its holders that the caller has
    /// permission to read.
    pub async fn submit(&self, command: Command) -> Result<Committed, StatusError> {
        let permissions = command.permissions.clone();
        match self.submit_with_retries(command).await {
            Err(refusal) => Err(self.preparer.name_holders(refusal, &permissions).await),
            committed => committed,
        }
    }

    async fn submit_with_retries(&self, command: Command) -> Result<Committed, StatusError> {
        let (key, view, labels) = (command.key.clone(), command.view, CommandLabels::of(&command));
        let namespace_to_check = self.preparer.namespace_to_check(&command);
        let refused = |refusal: StatusError| {
            self.preparer.metrics.command_finished(labels, refusal.reason.as_str());
            refusal
        };
        let mut order = self.preparer.read_and_prepare(command).await.map_err(refused)?;
        for again in 0.. {
            let (caller, answer) = oneshot::channel();
            let warnings = mem::take(&mut order.warnings);
            self.enqueue(&key, order, namespace_to_check.clone(), labels, caller)?;
            match answer.await.unwrap_or_else(|_| Err(abandoned()))? {
                SubmitResult::Committed(committed) => return Ok(committed.with_warnings(warnings)),
                SubmitResult::Outdated(_) if again == limits::PREPARE_RETRIES_MAX => break,
                SubmitResult::Outdated(outdated) => {
                    let Outdated { command, current } = *outdated;
                    self.preparer.metrics.prepared_again(PreparedBy::Request);
                    let ticket = self.preparer.writes.enter();
                    order = self.preparer.prepare_submission(command, current, ticket).await.map_err(refused)?;
                }
            }
        }
        Err(refused(self.preparer.modified(&key, view)))
    }

    fn enqueue(
        &self,
        key: &ObjectKey,
        order: Submission<W>,
        namespace_to_check: Option<ObjectKey>,
        labels: CommandLabels,
        caller: oneshot::Sender<Result<SubmitResult, StatusError>>,
    ) -> Result<(), StatusError> {
        let Submission { work, bytes, ticket, warnings: _ } = order;
        let reply = ReplySender { caller, _ticket: ticket };
        let reads = self.preparer.kind(key, None).read_set(key);
        let submitted = PendingCommand {
            work,
            reads,
            namespace_to_check,
            labels,
            bytes,
            reply,
            _charge: self.bytes.charge(bytes)?,
        };
        self.sender.try_send(submitted).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                StatusError::new(StatusReason::TooManyRequests, "too many writes are waiting, please try again later")
                    .retry_after(1)
            }
            mpsc::error::TrySendError::Closed(_) => {
                StatusError::new(StatusReason::ServiceUnavailable, "the server is shutting down").retry_after(1)
            }
        })
    }
}

/// The receiving end of the queue, and the commands that were taken from it but did not fit into a batch.
pub struct QueueReceiver<W> {
    receiver: mpsc::Receiver<PendingCommand<W>>,
    first: VecDeque<PendingCommand<W>>,
    /// Commands whose callers have timed out or disconnected.
    abandoned: Vec<PendingCommand<W>>,
}

impl<W> QueueReceiver<W> {
    pub(super) fn new(receiver: mpsc::Receiver<PendingCommand<W>>) -> Self {
        Self { receiver, first: VecDeque::new(), abandoned: Vec::new() }
    }

    /// Waits for a command; false if the queue is closed and empty. Cancel-safe.
    pub async fn wait(&mut self) -> bool {
        if self.first.is_empty() {
            let Some(submitted) = self.receiver.recv().await else { return false };
            self.first.push_back(submitted);
        }
        true
    }

    /// Moves commands into `chunk` until it holds `commands` commands or `bytes` bytes; the last command may exceed
    /// `bytes`.
    pub fn take(&mut self, chunk: &mut Vec<PendingCommand<W>>, commands: usize, bytes: usize) {
        let mut taken: usize = chunk.iter().map(|submitted| submitted.bytes).sum();
        while chunk.len() < commands && taken < bytes {
            let next = self.first.pop_front().or_else(|| self.receiver.try_recv().ok());
            let Some(submitted) = next else { return };
            if submitted.is_abandoned() {
                self.abandoned.push(submitted);
            } else {
                taken += submitted.bytes;
                chunk.push(submitted);
            }
        }
    }

    /// Returns commands that had no room. They are taken first the next time.
    pub fn put_back(&mut self, rest: Vec<PendingCommand<W>>) {
        for submitted in rest.into_iter().rev() {
            self.first.push_front(submitted);
        }
    }

    /// Takes the abandoned commands.
    pub fn abandoned(&mut self) -> Vec<PendingCommand<W>> {
        mem::take(&mut self.abandoned)
    }

    /// The number of waiting commands.
    pub fn len(&self) -> usize {
        self.first.len() + self.receiver.len()
    }
}

fn abandoned() -> StatusError {
    let message = "the write was abandoned, and its outcome is unknown: read the object before you repeat it";
    StatusError::new(StatusReason::InternalError, message)
}

/// Prepares commands: it has the store, the kinds and the schemas, but not the decision state.
pub struct CommandPreparer<W> {
    store: Arc<dyn Store>,
    registry: Arc<Registry<W>>,
    schemas: Arc<Schemas>,
    metrics: Arc<Metrics>,
    writes: Arc<WritePath>,
    admission: Arc<dyn Admission<W>>,
    /// Permits for large preparations.
    large: Arc<Semaphore>,
}

impl<W: State> CommandPreparer<W> {
    pub(super) fn new(committer: &Committer<W>) -> Self {
        Self {
            store: Arc::clone(&committer.store),
            registry: Arc::clone(&committer.registry),
            schemas: Arc::clone(&committer.schemas),
            metrics: Arc::clone(&committer.metrics),
            writes: Arc::clone(&committer.writes),
            admission: Arc::clone(&committer.admission),
            large: Arc::new(Semaphore::new(limits::LARGE_PREPARATIONS_MAX)),
        }
    }

    fn kind(&self, key: &ObjectKey, view: Option<&View>) -> &dyn Kind<W> {
        self.registry.find_view(key.resource, view).expect("keys are made from registered resources only")
    }

    /// The namespace to check if the command may create an object; see [`Admission::namespace_to_check`].
    fn namespace_to_check(&self, command: &Command) -> Option<ObjectKey> {
        let makes = match command.action {
            Action::Create(_) | Action::Apply { subresource: None, .. } => true,
            Action::Update { change: UpdateOperation::Replace(_), subresource: None } => {
                self.kind(&command.key, command.view).allows_create_on_update()
            }
            _ => false,
        };
        makes.then(|| self.admission.namespace_to_check(&command.key)).flatten()
    }

    /// Prepares a command for the stored version of its object. It counts as waiting from here on, because the read of
    /// the store may hang, too.
    async fn read_and_prepare(self: &Arc<Self>, command: Command) -> Result<Submission<W>, StatusError> {
        let ticket = self.writes.enter();
        match &command.action {
            Action::Delete(_) => {
                let bytes = command.body_bytes;
                Ok(Submission { work: Work::Command(Box::new(command)), bytes, ticket, warnings: Vec::new() })
            }
            Action::Create(_) => self.prepare_submission(command, None, ticket).await,
            Action::Update { .. } | Action::Apply { .. } => {
                let current = self.read(&command.key).await?;
                self.prepare_submission(command, current, ticket).await
            }
        }
    }

    async fn read(&self, key: &ObjectKey) -> Result<Option<Version>, StatusError> {
        // An object whose key is invalid in the store cannot exist.
        let Some(key) = keys::store_key(key) else { return Ok(None) };
        let record = self.store.get(&key).await.map_err(|error| errors::read_failed(&error))?;
        Ok(record.map(Version::stored))
    }

    /// Prepares a command for this version of its object. A large one is prepared on a blocking thread, at most
    /// [`limits::LARGE_PREPARATIONS_MAX`] at a time; it does not count as waiting then, because it does not use the
    /// store.
    async fn prepare_submission(
        self: &Arc<Self>,
        command: Command,
        current: Option<Version>,
        mut ticket: Ticket,
    ) -> Result<Submission<W>, StatusError> {
        let bytes = command.body_bytes + current.as_ref().map_or(0, Version::len);
        let (key, view) = (command.key.clone(), command.view);
        let namespace_to_check = self.namespace_to_check(&command).filter(|_| current.is_none());
        let planned = if bytes <= limits::SMALL_BYTES_MAX && !command.action.has_copy() {
            self.prepare(command, current)
        } else {
            drop(ticket);
            let permit = Arc::clone(&self.large).acquire_owned().await;
            let this = Arc::clone(self);
            let prepare = move || {
                let mut plan = this.prepare(command, current)?;
                plan.encode();
                drop(permit);
                Ok(plan)
            };
            let planned = tokio::task::spawn_blocking(prepare).await.unwrap_or_else(|_| Err(errors::panic_error()));
            ticket = self.writes.enter();
            planned
        };
        match (planned, namespace_to_check) {
            (Ok(plan), _) => {
                let (old, new) = (plan.base_object().map(Arc::as_ref), plan.new_object());
                let admission = &self.admission;
                let warnings =
                    new.and_then(|new| admission.warnings(&*self.store, &self.registry, &plan.key, old, new));
                let warnings = match warnings {
                    Some(warnings) => warnings.await,
                    None => Vec::new(),
                };
                Ok(Submission { work: Work::Plan(Box::new(plan)), bytes, ticket, warnings })
            }
            (Err(refusal), None) => Err(refusal),
            (Err(refusal), Some(namespace_to_check)) => {
                Err(self.prefer_namespace_error(&key, view, &namespace_to_check, refusal).await)
            }
        }
    }

    fn prepare(&self, command: Command, current: Option<Version>) -> Result<PreparedCommand<W>, StatusError> {
        let kind = self.kind(&command.key, command.view);
        let schema = self.schemas.get(kind.resource());
        let prepare = || {
            let current =
                current.as_ref().map(Version::object).transpose().map_err(|error| errors::read_failed(&error))?;
            rest::prepare(kind, schema, command, current)
        };
        // A preparation has no side effects, so a panic leaves no partial change.
        panic::catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|_| Err(errors::panic_error()))
    }

    /// The API error of a failed creation, unless its namespace is missing or terminating: that error takes precedence.
    async fn prefer_namespace_error(
        &self,
        key: &ObjectKey,
        view: Option<&View>,
        namespace_to_check: &ObjectKey,
        refusal: StatusError,
    ) -> StatusError {
        let present = match self.read(namespace_to_check).await {
            Ok(version) => version.map(|version| version.present()).transpose(),
            Err(_) => return refusal,
        };
        let admitted =
            present.map(|present| self.admission.validate_create(self.kind(key, view).resource(), key, present));
        match admitted {
            Ok(Err(namespace_error)) => namespace_error,
            Ok(Ok(())) | Err(_) => refusal,
        }
    }

    async fn name_holders(&self, refusal: StatusError, permissions: &Permissions) -> StatusError {
        holders::name_holders(&*self.store, &self.registry, permissions, refusal).await
    }

    /// 409 for a command whose object has changed again after [`limits::PREPARE_RETRIES_MAX`] further preparations.
    fn modified(&self, key: &ObjectKey, view: Option<&View>) -> StatusError {
        let resource = self.kind(key, view).resource();
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        StatusError::conflict(resource.group, resource.plural, &key.name, why)
    }
}
