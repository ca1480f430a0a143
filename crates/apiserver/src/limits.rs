//! Every limit of the server, with its unit. What an operator may want to change is a flag of the binary. The page
//! `docs/limits.md` is generated from this file.

use std::time::Duration;

/// The longest request body: 3 MiB, as kube-apiserver's.
///
/// Unit: bytes. Flag: `--max-body`. Test: `crates/ipamd/tests/it/errors.rs::too_long_a_body_is_413`.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Answers longer than this, in bytes, are compressed for clients that take gzip: upstream's value.
///
/// Unit: bytes. Test: `crates/apiserver/src/form.rs::large_bodies_are_compressed_and_small_ones_are_not`.
pub const COMPRESSED_BYTES_MIN: u64 = 128 * 1024;
/// The longest head of a request, over HTTP/1 and HTTP/2: upstream's value.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::a_head_that_is_too_long_is_refused`.
pub const HEADER_BYTES_MAX: u32 = 1024 * 1024;
/// Commands that wait for the committer; one more is answered with 429.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/commits.rs::a_full_queue_is_said_at_once_and_safe_to_come_back_to`.
pub const QUEUE_COMMANDS_MAX: usize = 8_192;
/// What commands that wait for the committer may hold, counted as the length of their bodies and of the versions that they
/// were prepared for: so much for the first [`SMALL_BYTES_MAX`] of each, and as much for what they have beyond that. One more
/// is answered with 429.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::commands_that_wait_are_bounded_in_bytes`.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What the bodies of writing requests under way may hold, in the same two accounts. One more is answered with 429.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::bodies_under_way_are_bounded_in_bytes`.
pub const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What is small: the body and the present version of the object together. A small command may be prepared again by the
/// committer when its object has changed; a larger one goes back to its request.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::large_changes_are_never_prepared_by_the_committer`.
pub const SMALL_BYTES_MAX: usize = 64 * 1024;
/// How often a command that is not small is prepared again for a version that has changed meanwhile, before it is answered
/// with 409: `maxRetryWhenPatchConflicts` of Kubernetes (`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go`).
///
/// Unit: times. Test: `crates/apiserver/tests/it/large.rs::large_change_of_a_busy_object_is_a_conflict`.
pub const PREPARED_AGAIN_MAX: usize = 5;
/// The holders that a refusal names, of what its request needed. Each is one object that is read.
///
/// Unit: objects. Test: `crates/ipamd/tests/it/pool_hierarchy.rs::many_users_of_a_pool_are_counted_and_the_first_are_named`.
pub const HOLDERS_NAMED_MAX: usize = 3;
/// Commands that are not small and are prepared at the same time.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/large.rs::only_so_many_large_commands_are_prepared_at_the_same_time`.
pub const LARGE_PREPARATIONS_MAX: usize = 2;
/// Commands of one commit.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/commits.rs::commit_holds_no_more_commands_than_the_batch_limit`.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// How often one batch waits for the state to be read again because another replica of a newer version wrote kinds that
/// this one does not know; then its commands are answered with 503.
///
/// Unit: times. Test: `crates/apiserver/tests/it/replicas.rs::state_is_read_again_only_so_often_for_one_batch`.
pub const RELOADS_PER_BATCH_MAX: usize = 3;
/// The versions that one commit writes, together; the last one may exceed it.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::commits_are_bounded_in_bytes`.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a commit may take while more is decided on top of it. After that commands wait undecided, and those whose callers
/// are answered meanwhile are dropped.
///
/// Unit: time. Test: `crates/apiserver/tests/it/commits.rs::nothing_is_written_for_callers_that_were_answered_while_the_store_hung`.
pub const DECIDED_AHEAD_TIME_MAX: Duration = Duration::from_secs(1);
/// Entries of the log that are read at once to catch up with other replicas, also while the head is held.
///
/// Unit: entries. Test: `crates/apiserver/tests/it/replicas.rs::whoever_is_far_behind_catches_up_first`.
pub const NEWS_ENTRIES_MAX: usize = 8_192;
/// The pages of the log that are read to catch up with other replicas while the head is held.
///
/// Unit: pages. Test:
/// `crates/apiserver/tests/it/replicas.rs::replica_that_is_many_bytes_behind_catches_up_first`.
pub const NEWS_PAGES_MAX: usize = 16;
/// Writing requests under way at once; one more is answered with 429.
///
/// Unit: requests. Flag: `--max-mutating-requests-inflight`. Test:
/// `crates/ipamd/tests/it/server_life.rs::writes_are_refused_cleanly_when_too_many_wait`.
pub const MUTATING_REQUESTS_MAX: usize = 4_096;
/// Reading requests under way at once, watches not counted; one more is answered with 429.
///
/// Unit: requests. Flag: `--max-requests-inflight`. Test:
/// `crates/apiserver/tests/it/requests.rs::what_was_not_done_is_counted`.
pub const READ_REQUESTS_MAX: usize = 4_096;
/// Open watches; one more is answered with 429.
///
/// Unit: watches. Test: `crates/apiserver/tests/it/watching.rs::watches_are_limited_and_make_room_when_they_end`.
pub const WATCHES_MAX: usize = 16_384;
/// Events that are kept in memory for watches; older ones are read from the store.
///
/// Unit: events. Test: `crates/apiserver/src/hub.rs::a_cursor_before_the_oldest_event_is_sent_to_the_store`.
pub const RECENT_EVENTS_MAX: usize = 8_192;
/// The size of the events that are kept in memory for watches, however few they are: of their keys, and of the versions before
/// and after them as they are encoded.
///
/// Unit: bytes. Test: `crates/apiserver/src/hub.rs::hub_is_bounded_in_bytes`.
pub const RECENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events that a watch takes from memory or from the store at once.
///
/// Unit: events. Test: `crates/apiserver/src/hub.rs::no_more_is_taken_at_once_than_asked_for`.
pub const TAIL_EVENTS_MAX: usize = 128;
/// The size at which a watch takes no more events at once: it may be exceeded by the last of them alone.
///
/// Unit: bytes. Test: `crates/apiserver/src/hub.rs::events_are_taken_up_to_a_size`.
pub const WATCH_BYTES_MAX: usize = 128 * 1024;
/// Watches that read from the store what is no longer in memory, at the same time: decisions read from it too.
///
/// Unit: reads. Test: `crates/apiserver/src/tails.rs::whoever_lags_gets_what_was_read_for_others_and_no_gap`.
pub const TAILS_AT_ONCE: usize = 1;
/// Such reads that are kept for other watches; together as many events as are in memory anyway.
///
/// Unit: reads. Test: `crates/apiserver/src/tails.rs::whoever_lags_gets_what_was_read_for_others_and_no_gap`.
pub const TAILS_KEPT: usize = RECENT_EVENTS_MAX / TAIL_EVENTS_MAX;
/// The size of what is kept of such reads, however few they are.
///
/// Unit: bytes. Test: `crates/apiserver/src/tails.rs::kept_reads_are_bounded_in_bytes`.
pub const TAILS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Watches that are told something at the same time, before everything else has its turn again.
///
/// Unit: watches. Test: `crates/apiserver/src/turns.rs::everybody_else_comes_between_two_turns`.
pub const TURNS_AT_ONCE: usize = 4;
/// Objects that a list or a watch takes from the store at once.
///
/// Unit: records. Test: `crates/apiserver/tests/it/listing.rs::a_filtered_page_is_full_or_the_last`.
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Items behind a page that are counted for `remainingItemCount`; where there are as many, it is left out.
///
/// Unit: items. Test: `crates/apiserver/tests/it/listing.rs::remaining_items_are_counted_up_to_the_limit_only`.
pub const REMAINING_COUNTED_MAX: usize = 1_000;
/// The size at which a page of a list ends, however few items it has: it may be exceeded by the last of them alone.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/listing.rs::page_of_a_list_ends_at_its_size`.
pub const LIST_PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Time in which a list without a limit must be sent; what is left then is not. It is shorter than the history is kept, so
/// that compaction does not reach the revision of a list that is still sent.
///
/// Unit: time. Test: `crates/apiserver/tests/it/streaming.rs::list_that_is_read_too_slowly_is_broken_off`.
pub const LIST_TIME_MAX: Duration = Duration::from_mins(8);
/// What an answer hands over to its connection at once.
///
/// Unit: bytes. Test: `crates/apiserver/src/body.rs::whole_body_is_handed_over_in_pieces_and_lets_go_with_the_last`.
pub const BODY_PIECE_BYTES: usize = 64 * 1024;
/// Deletions of one `deletecollection` that are under way at once.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/deleting.rs::collection_is_deleted_by_few_commits`.
pub const COLLECTION_DELETIONS_MAX: usize = 64;
/// History that is kept for watches and for the pages of a list, in time.
///
/// Unit: time. Test: `crates/apiserver/src/compaction.rs::history_is_compacted_once_a_minute_and_kept_for_ten`.
pub const HISTORY_AGE_MIN: Duration = Duration::from_mins(10);
/// Time between two compactions of the history.
///
/// Unit: time. Test: `crates/apiserver/src/compaction.rs::history_is_compacted_once_a_minute_and_kept_for_ten`.
pub const COMPACTION_INTERVAL: Duration = Duration::from_mins(1);
/// Time until a request is answered; a watch goes on behind its answer.
///
/// Unit: time. Test: `crates/apiserver/tests/it/requests.rs::nothing_but_a_watch_takes_longer_than_a_minute`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Time until the write of one object is answered: `requestTimeoutUpperBound` of Kubernetes
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go`).
///
/// Unit: time. Test: `crates/apiserver/tests/it/requests.rs::a_write_of_one_object_takes_no_longer_than_34_seconds`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(34);
/// Open connections; one more is closed at once. No more than the process may open files, less some for itself.
///
/// Unit: connections. Flag: `--max-connections`. Test: `crates/apiserver/tests/it/connections.rs::a_connection_over_the_limit_is_closed_at_once`.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections whose client has shown no credential yet; the oldest gives way to one more.
///
/// Unit: connections. Test: `crates/apiserver/tests/it/connections.rs::the_oldest_unknown_connection_gives_way`.
pub const NEWCOMERS_MAX: usize = 2_048;
/// Time until a connection is accepted again after the system could not.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::a_server_without_file_descriptors_goes_on`.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two lines of the log about connections that were not accepted.
///
/// Unit: time. Test: `crates/apiserver/src/serve.rs::what_happens_often_is_logged_now_and_then`.
pub const CONNECTION_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Time that a TLS handshake may take.
///
/// Unit: time. Test: `crates/apiserver/tests/it/draining.rs::who_says_nothing_is_not_waited_for`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that the head of a request may take, and the first one of a connection to come: upstream's value.
///
/// Unit: time. Test: `crates/apiserver/tests/it/draining.rs::who_says_nothing_is_not_waited_for`.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// Time that a connection stays open without a request: upstream's value, and that of clients, which would otherwise send
/// requests while the server closes.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::an_idle_connection_is_kept_for_a_while`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest message that the client of a WebSocket may send. None is expected of it, and what it sends is thrown away.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/websockets.rs::what_breaks_the_protocol_ends_its_connection_alone`.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 4096;
/// Time that an idle connection, or a WebSocket, has to close after the client was told.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::an_idle_connection_is_kept_for_a_while`,
/// `crates/apiserver/tests/it/websockets.rs::client_that_does_not_confirm_the_end_is_not_waited_for`.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which a client takes one piece of an answer, and a socket anything at all.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::a_client_that_does_not_read_is_cut_off`.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest piece in which an answer is handed to its connection.
///
/// Unit: bytes. Test: `crates/apiserver/src/serve/body.rs::a_long_answer_goes_out_in_pieces`.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Requests that the client of one HTTP/2 connection may give up at once.
///
/// Unit: requests. Test: `crates/apiserver/tests/it/connections.rs::rapid_resets_end_their_connection`.
pub const RESETS_BURST: u32 = 1_000;
/// Requests that it may give up for ever.
///
/// Unit: requests per second. Test: `crates/apiserver/src/serve/pace.rs::resets_are_earned_with_time`.
pub const RESETS_PER_SECOND: u32 = 100;
/// Time after which the system asks whether a silent client is still there: upstream's value.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::connections_have_tcp_keep_alive`.
pub const TCP_KEEPALIVE: Duration = Duration::from_mins(3);
/// Time between two such questions.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::connections_have_tcp_keep_alive`.
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Time after which an HTTP/2 client is asked whether it is still there.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::an_http2_client_that_does_not_answer_pings_is_cut_off`.
pub const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Time that it has for its answer.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::an_http2_client_that_does_not_answer_pings_is_cut_off`.
pub const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a read waits for a revision that lies in the future.
///
/// Unit: time. Test:
/// `crates/apiserver/tests/it/listing.rs::a_revision_that_has_not_come_is_waited_for_and_then_refused`.
pub const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);
/// Time between two bookmarks of a watch.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watching.rs::a_bookmark_comes_every_minute`.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long before its end a watch sends its last bookmark.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watching.rs::a_watch_ends_at_its_timeout_behind_a_bookmark`.
pub const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The shortest life of a watch that names no timeout; the longest is twice that.
///
/// Unit: time. Test:
/// `crates/apiserver/tests/it/watching.rs::chance_says_how_long_a_watch_lives_that_does_not_say_it_itself`.
pub const WATCH_TIMEOUT_MIN: Duration = Duration::from_mins(30);
/// The longest life of a watch, whatever it asks for.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watching.rs::the_longest_timeout_is_no_trouble`.
pub const WATCH_TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Streams of one HTTP/2 connection, which are its requests and watches at once: upstream's value.
///
/// Unit: streams. Flag: `--http2-max-streams-per-connection`. Test: `crates/apiserver/tests/it/connections.rs::http2_settings_bound_what_a_client_may_send`.
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// What the client of one HTTP/2 stream may send before it is read; of one connection as much for each stream. Upstream's value.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::http2_settings_bound_what_a_client_may_send`.
pub const HTTP2_WINDOW_BYTES: u32 = 256 * 1024;
/// The longest frame of HTTP/2 that the server takes.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::a_frame_that_is_too_long_ends_its_connection`.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// What waits to be sent on one HTTP/2 stream, besides one piece of the answer.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::a_client_that_does_not_read_is_cut_off`.
pub const HTTP2_SEND_BYTES_MAX: usize = 64 * 1024;
/// Streams that a client opens and resets before the server has looked at them.
///
/// Unit: streams. Test: `crates/apiserver/tests/it/connections.rs::rapid_resets_end_their_connection`.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Streams of one connection that the server resets for a fault of the client.
///
/// Unit: streams. Test: `crates/apiserver/tests/it/connections.rs::faulty_streams_end_their_connection`.
pub const HTTP2_ERRORS_MAX: usize = 256;
/// How often a generated name that is taken is drawn anew.
///
/// Unit: tries. Test: `crates/apiserver/tests/it/requests.rs::a_generated_name_that_is_taken_is_drawn_anew`.
pub const GENERATED_NAME_TRIES: usize = 8;

/// The groups that one request may impersonate.
///
/// Unit: groups. Test: `crates/apiserver/src/impersonation.rs::groups_are_bounded`.
pub const IMPERSONATED_GROUPS_MAX: usize = 1_000;
/// The rules of one role. What they multiply out to is [`apimachinery::limits::RULE_PAIRS_MAX`].
///
/// Unit: rules. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const ROLE_RULES_MAX: usize = 1_000;
/// The subjects of one binding.
///
/// Unit: subjects. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const BINDING_SUBJECTS_MAX: usize = 5_000;
/// The entries of `data`, and of `binaryData`, of one ConfigMap.
///
/// Unit: entries. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const CONFIG_MAP_ENTRIES_MAX: usize = 16_384;
/// The values of one ConfigMap, all together (`MaxSecretSize` of core/v1).
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/standing_alone.rs::bad_config_maps_are_refused_with_every_fault`.
pub const CONFIG_MAP_BYTES_MAX: usize = 1024 * 1024;
/// The longest key of a ConfigMap.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/standing_alone.rs::bad_config_maps_are_refused_with_every_fault`.
pub const CONFIG_MAP_KEY_BYTES_MAX: usize = 253;
/// The conditions of one namespace.
///
/// Unit: conditions. Test: `crates/ipamd/tests/it/worst_bodies.rs::lists_have_limits_that_are_told`.
pub const NAMESPACE_CONDITIONS_MAX: usize = 100;
/// The finalizers that the condition of a namespace names, of what is left in it.
///
/// Unit: finalizers. Test: `crates/apiserver/src/standalone/purge/conditions.rs::finalizers_beyond_the_limit_are_not_named`.
pub const CONDITION_FINALIZERS_MAX: usize = 20;

/// The owners of one object that a write looks up to warn of those that are not there.
///
/// Unit: owner references. Test: `crates/apiserver/tests/it/collecting.rs::owners_beyond_the_limit_are_not_looked_up`.
pub const OWNERS_LOOKED_UP_MAX: usize = 8;

/// Deletions and changes of the garbage collector, and of a namespace's deletion, that are under way at once.
///
/// Unit: requests. Test: `crates/apiserver/src/standalone/agenda.rs::no_more_is_taken_than_asked_for`.
pub const BACKGROUND_WRITES_MAX: usize = 64;
/// How long background work waits after a failure; each time twice as long.
///
/// Unit: time. Test: `crates/apiserver/src/standalone/agenda.rs::what_fails_comes_back_later_and_later`,
/// `crates/apiserver/src/supervisor.rs::task_that_panics_is_started_again_after_longer_and_longer_pauses`.
pub const BACKGROUND_RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest that it waits.
///
/// Unit: time. Test: `crates/apiserver/src/standalone/agenda.rs::what_fails_comes_back_later_and_later`,
/// `crates/apiserver/src/supervisor.rs::task_that_panics_is_started_again_after_longer_and_longer_pauses`.
pub const BACKGROUND_RETRY_MAX: Duration = Duration::from_mins(1);

/// How long an event is kept after it was last written: `--event-ttl` of kube-apiserver.
///
/// Unit: time. Test: `crates/apiserver/tests/it/events.rs::events_are_kept_for_an_hour`.
pub const EVENT_AGE_MAX: Duration = Duration::from_hours(1);
/// The events of one namespace; beyond that the oldest go.
///
/// Unit: events. Test: `crates/apiserver/tests/it/events.rs::oldest_events_of_a_namespace_go_beyond_the_bound`.
pub const EVENTS_PER_NAMESPACE_MAX: usize = 4_096;
/// The size of the events of one namespace, as they are encoded; beyond that the oldest go.
///
/// Unit: bytes. Test: `crates/apiserver/src/standalone/events/retention.rs::events_of_a_namespace_are_bounded_in_number_and_bytes`.
pub const EVENTS_BYTES_PER_NAMESPACE_MAX: usize = 8 * 1024 * 1024;
/// The reporting instance, the action and the reason of an event of `events.k8s.io/v1`, each, as in Kubernetes.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/events.rs::bad_events_are_refused_in_the_words_of_their_version`.
pub const EVENT_WORD_BYTES_MAX: usize = 128;
/// The note of an event of `events.k8s.io/v1`, as in Kubernetes.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/events.rs::bad_events_are_refused_in_the_words_of_their_version`.
pub const EVENT_NOTE_BYTES_MAX: usize = 1024;
/// Pairs of object and reason of the server's own events that wait to be written or were written lately; beyond this the oldest
/// is dropped.
///
/// Unit: occurrences. Test: `crates/apiserver/src/event_queue.rs::oldest_occurrence_is_dropped_beyond_the_bound`.
pub const EVENT_QUEUE_MAX: usize = 1_024;
/// The time between two writes of an event of the server's own about the same object for the same reason. What happens
/// meanwhile is counted.
///
/// Unit: time. Test: `crates/apiserver/src/event_queue.rs::occurrences_are_counted_between_two_writes`.
pub const EVENT_WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The time between two questions to the store, whose answers probes are given.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::probes_do_not_reach_the_store`.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the store may take to answer such a question before the server is not ready.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::store_that_hangs_makes_the_server_unready`.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a write may wait for its commit before the server is not ready.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::commit_that_hangs_makes_the_server_unready`.
pub const COMMAND_AGE_MAX: Duration = Duration::from_secs(5);
/// The time between two log lines about a fault that goes on.
///
/// Unit: time. Test: `crates/apiserver/src/outage.rs::outage_is_logged_when_it_begins_and_then_at_intervals`.
pub const OUTAGE_LOG_INTERVAL: Duration = Duration::from_mins(1);
/// Reports of ended tasks that wait to be read; a task that ends then waits with its own.
///
/// Unit: reports. Test: `crates/apiserver/src/supervisor.rs::wait_for_one_task_reports_the_failure_of_another`.
pub const SUPERVISED_ENDS_MAX: usize = 16;

/// The limits that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reading requests under way at once; see [`READ_REQUESTS_MAX`].
    pub read_requests: usize,
    /// Writing requests under way at once; see [`MUTATING_REQUESTS_MAX`].
    pub mutating_requests: usize,
    /// The longest request body, in bytes; see [`BODY_BYTES_MAX`].
    pub body_bytes: usize,
    /// Bytes of the bodies of writing requests under way; see [`BODIES_BYTES_MAX`].
    pub bodies_bytes: usize,
    /// Open watches; see [`WATCHES_MAX`].
    pub watches: usize,
    /// Events that are kept in memory; see [`RECENT_EVENTS_MAX`].
    pub recent_events: usize,
    /// The objects of the kind Event in one namespace; see [`EVENTS_PER_NAMESPACE_MAX`].
    pub events_per_namespace: usize,
    /// Open connections; see [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Connections of clients that are not known yet; see [`NEWCOMERS_MAX`].
    pub newcomers: usize,
    /// Streams of one HTTP/2 connection; see [`HTTP2_STREAMS_MAX`].
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_requests: READ_REQUESTS_MAX,
            mutating_requests: MUTATING_REQUESTS_MAX,
            body_bytes: BODY_BYTES_MAX,
            bodies_bytes: BODIES_BYTES_MAX,
            watches: WATCHES_MAX,
            recent_events: RECENT_EVENTS_MAX,
            events_per_namespace: EVENTS_PER_NAMESPACE_MAX,
            connections: CONNECTIONS_MAX,
            newcomers: NEWCOMERS_MAX,
            http2_streams: HTTP2_STREAMS_MAX,
        }
    }
}
/// The objects that a start names in its log because their stored status differs from the addresses that are held.
///
/// Unit: objects. Test: `crates/apiserver/tests/it/requests.rs::stored_status_that_disagrees_with_the_spans_is_counted`.
pub const DISAGREEMENTS_LOGGED_MAX: usize = 10;
