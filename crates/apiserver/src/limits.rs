//! Every limit of the server, with its unit. Those that an operator may want to change are flags of the binary. The
//! page `docs/limits.md` is generated from this file.

use std::time::Duration;

/// The maximum size of a request body: 3 MiB, as in kube-apiserver.
///
/// Unit: bytes. Flag: `--max-body`. Test: `crates/ipamd/tests/it/errors.rs::oversized_body_is_413`.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Responses larger than this, in bytes, are compressed for clients that accept gzip: the value of kube-apiserver.
///
/// Unit: bytes. Test: `crates/apiserver/src/encoding.rs::large_bodies_are_compressed_and_small_ones_are_not`.
pub const COMPRESSED_BYTES_MIN: u64 = 128 * 1024;
/// The maximum size of the head of a request, over HTTP/1 and HTTP/2: the value of kube-apiserver.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::oversized_request_head_is_431`.
pub const HEADER_BYTES_MAX: u32 = 1024 * 1024;
/// Commands that wait for the committer; one more is answered with 429.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/commits.rs::full_queue_is_429_immediately_and_retryable`.
pub const QUEUE_COMMANDS_MAX: usize = 8_192;
/// The memory of commands that wait for the committer, counted as the size of their bodies and of the versions that
/// they were prepared for: this much for the first [`SMALL_BYTES_MAX`] of each, and as much again for the rest. One
/// more is answered with 429.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::waiting_commands_are_limited_in_bytes`.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The memory of the bodies of writing requests in progress, counted in the same two accounts. One more is answered
/// with 429.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::request_bodies_in_progress_are_limited_in_bytes`.
pub const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A command is small if its body and the current version of its object have at most this size together. The committer
/// may prepare a small command again when its object has changed; a larger one is returned to its request.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::large_changes_are_never_prepared_by_the_committer`.
pub const SMALL_BYTES_MAX: usize = 64 * 1024;
/// The number of times that a command that is not small is prepared again after its object has changed, before it is
/// answered with 409: `maxRetryWhenPatchConflicts` of Kubernetes
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go`).
///
/// Unit: times. Test: `crates/apiserver/tests/it/large.rs::large_change_of_a_busy_object_is_a_conflict`.
pub const PREPARE_RETRIES_MAX: usize = 5;
/// The holders that an API error names. Each is one object to be read.
///
/// Unit: objects. Test: `crates/ipamd/tests/it/pool_hierarchy.rs::pool_delete_error_counts_holders_and_names_first`.
pub const HOLDERS_NAMED_MAX: usize = 3;
/// Commands that are not small and are prepared concurrently.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/large.rs::concurrent_large_preparations_are_limited`.
pub const LARGE_PREPARATIONS_MAX: usize = 2;
/// Commands of one commit.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/commits.rs::commit_holds_no_more_commands_than_the_batch_limit`.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// The number of times that the state is read again for one batch because a replica of a newer version wrote kinds that
/// are not registered here; after that its commands are answered with 503.
///
/// Unit: times. Test: `crates/apiserver/tests/it/replicas.rs::reloads_for_one_batch_are_limited`.
pub const RELOADS_PER_BATCH_MAX: usize = 3;
/// The size of all versions that one commit writes; the last one may exceed it.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/large.rs::commits_are_limited_in_bytes`.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The duration of a commit after which no further commands are decided on top of it. Commands then wait undecided, and
/// are dropped if their callers time out or disconnect.
///
/// Unit: time. Test: `crates/apiserver/tests/it/commits.rs::nothing_is_written_for_callers_that_timed_out_while_the_store_hung`.
pub const DECIDED_AHEAD_TIME_MAX: Duration = Duration::from_secs(1);
/// Entries of the log that are read at once to catch up with other replicas, also while the head's lock is held.
///
/// Unit: entries. Test: `crates/apiserver/tests/it/replicas.rs::replica_lagging_by_many_entries_catches_up_before_deciding`.
pub const CATCH_UP_ENTRIES_MAX: usize = 8_192;
/// The pages of the log that are read to catch up with other replicas while the head's lock is held.
///
/// Unit: pages. Test:
/// `crates/apiserver/tests/it/replicas.rs::replica_lagging_by_many_bytes_catches_up_before_deciding`.
pub const CATCH_UP_PAGES_MAX: usize = 16;
/// Writing requests in progress; one more is answered with 429.
///
/// Unit: requests. Flag: `--max-mutating-requests-inflight`. Test:
/// `crates/ipamd/tests/it/lifecycle.rs::excess_mutating_requests_are_429`.
pub const MUTATING_REQUESTS_MAX: usize = 4_096;
/// Reading requests in progress, without watches; one more is answered with 429.
///
/// Unit: requests. Flag: `--max-requests-inflight`. Test:
/// `crates/apiserver/tests/it/requests.rs::request_rejected_with_429_is_counted`.
pub const READ_REQUESTS_MAX: usize = 4_096;
/// Open watches; one more is answered with 429.
///
/// Unit: watches. Test: `crates/apiserver/tests/it/watch.rs::watches_are_limited_and_ended_ones_free_a_permit`.
pub const WATCHES_MAX: usize = 16_384;
/// Events in the watch cache; older ones are read from the store.
///
/// Unit: events. Test: `crates/apiserver/src/watch_cache.rs::cursor_older_than_the_cache_must_read_the_store`.
pub const RECENT_EVENTS_MAX: usize = 8_192;
/// The size of the events in the watch cache: their keys, and the encoded versions before and after each.
///
/// Unit: bytes. Test: `crates/apiserver/src/watch_cache.rs::watch_cache_is_limited_in_bytes`.
pub const RECENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Events that a watch reads at once from the watch cache or the store.
///
/// Unit: events. Test: `crates/apiserver/src/watch_cache.rs::events_are_read_up_to_the_count_limit`.
pub const LOG_PAGE_EVENTS_MAX: usize = 128;
/// The size at which a watch reads no more events at once; the last one may exceed it.
///
/// Unit: bytes. Test: `crates/apiserver/src/watch_cache.rs::events_are_read_up_to_the_byte_limit`.
pub const WATCH_BYTES_MAX: usize = 128 * 1024;
/// Watches that read the log from the store concurrently: decisions read from the store too.
///
/// Unit: reads. Test: `crates/apiserver/src/log_reader.rs::lagging_watches_share_log_pages_without_gaps`.
pub const LOG_READS_CONCURRENT: usize = 1;
/// Pages of the log that are kept for other watches; together as many events as the watch cache has.
///
/// Unit: reads. Test: `crates/apiserver/src/log_reader.rs::lagging_watches_share_log_pages_without_gaps`.
pub const LOG_PAGES_CACHED: usize = RECENT_EVENTS_MAX / LOG_PAGE_EVENTS_MAX;
/// The size of all pages of the log that are kept for other watches.
///
/// Unit: bytes. Test: `crates/apiserver/src/log_reader.rs::kept_log_pages_are_limited_in_bytes`.
pub const LOG_PAGES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Watches that send events concurrently before other tasks run.
///
/// Unit: watches. Test: `crates/apiserver/src/watch_scheduler.rs::other_tasks_run_between_two_releases_of_watches`.
pub const WATCHES_PER_ROUND: usize = 4;
/// Objects that a list or a watch reads from the store at once.
///
/// Unit: records. Test: `crates/apiserver/tests/it/list.rs::filtered_page_is_full_unless_it_is_the_last`.
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Items after a page that are counted for `remainingItemCount`; if there are as many, the field is omitted.
///
/// Unit: items. Test: `crates/apiserver/tests/it/list.rs::remaining_item_count_is_omitted_over_the_limit`.
pub const REMAINING_COUNTED_MAX: usize = 1_000;
/// The size at which a page of a list ends; the last item may exceed it.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/list.rs::list_page_is_limited_in_bytes`.
pub const LIST_PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The time in which a list without a limit must be sent; after that it is aborted. It is shorter than the retention of
/// history, so that compaction does not reach the revision of a list in progress.
///
/// Unit: time. Test: `crates/apiserver/tests/it/streaming.rs::streamed_list_is_aborted_when_it_is_read_too_slowly`.
pub const LIST_TIME_MAX: Duration = Duration::from_mins(8);
/// The size of the pieces in which a response body is handed to its connection.
///
/// Unit: bytes. Test: `crates/apiserver/src/body.rs::whole_body_is_sent_in_pieces_and_releases_its_permit_with_the_last`.
pub const BODY_PIECE_BYTES: usize = 64 * 1024;
/// Concurrent deletions of one `deletecollection` request.
///
/// Unit: commands. Test: `crates/apiserver/tests/it/deleting.rs::delete_collection_needs_few_commits`.
pub const COLLECTION_DELETIONS_MAX: usize = 64;
/// The age of history that is kept for watches and for the pages of a list.
///
/// Unit: time. Test: `crates/apiserver/src/compaction.rs::history_is_compacted_every_minute_and_kept_for_ten_minutes`.
pub const HISTORY_AGE_MIN: Duration = Duration::from_mins(10);
/// Time between two compactions of the history.
///
/// Unit: time. Test: `crates/apiserver/src/compaction.rs::history_is_compacted_every_minute_and_kept_for_ten_minutes`.
pub const COMPACTION_INTERVAL: Duration = Duration::from_mins(1);
/// The time in which a request is answered; a watch continues after its response head.
///
/// Unit: time. Test: `crates/apiserver/tests/it/requests.rs::request_times_out_after_a_minute`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The time in which the write of one object is answered: `requestTimeoutUpperBound` of Kubernetes
/// (`staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go`).
///
/// Unit: time. Test: `crates/apiserver/tests/it/requests.rs::write_of_one_object_times_out_after_34_seconds`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(34);
/// Open connections; one more is closed immediately. At most the number of files that the process may open, less a
/// reserve for other files.
///
/// Unit: connections. Flag: `--max-connections`. Test: `crates/apiserver/tests/it/connections.rs::connection_over_the_limit_is_closed_immediately`.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections whose client has not presented a credential yet; one more closes the oldest.
///
/// Unit: connections. Test: `crates/apiserver/tests/it/connections.rs::oldest_unauthenticated_connection_is_closed_over_the_limit`.
pub const UNAUTHENTICATED_CONNECTIONS_MAX: usize = 2_048;
/// The delay after the system failed to accept a connection.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::server_recovers_from_file_descriptor_exhaustion`.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The interval between two log lines about connections that were not accepted.
///
/// Unit: time. Test: `crates/apiserver/src/serve.rs::frequent_occurrences_are_logged_once_per_interval`.
pub const CONNECTION_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The timeout of a TLS handshake.
///
/// Unit: time. Test: `crates/apiserver/tests/it/graceful_shutdown.rs::silent_connections_time_out`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of the head of a request, and of the first request of a connection: the value of kube-apiserver.
///
/// Unit: time. Test: `crates/apiserver/tests/it/graceful_shutdown.rs::silent_connections_time_out`.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// The time that a connection stays open without a request: the value of kube-apiserver and of common clients, which
/// with a shorter one would send requests while the server closes.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::idle_connection_is_kept_until_the_idle_timeout`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The maximum size of a message from the client of a WebSocket. None is expected, and all are discarded.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/websockets.rs::protocol_violation_closes_only_its_connection`.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 4096;
/// The time that an idle connection, or a WebSocket, has to close after the server has begun to close it, over HTTP/2
/// with GOAWAY, over a WebSocket with a close frame.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::idle_connection_is_kept_until_the_idle_timeout`,
/// `crates/apiserver/tests/it/websockets.rs::closing_handshake_times_out`.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time in which a client must take one piece of a response, and in which a socket must accept any bytes.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::connection_of_a_client_that_does_not_read_is_closed`.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum size of the pieces in which a response is handed to its connection.
///
/// Unit: bytes. Test: `crates/apiserver/src/serve/body.rs::long_response_is_sent_in_pieces`.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Requests that the client of one HTTP/2 connection may cancel in a burst.
///
/// Unit: requests. Test: `crates/apiserver/tests/it/connections.rs::rapid_http2_resets_end_the_connection`.
pub const RESETS_BURST: u32 = 1_000;
/// The sustained rate at which the client of one HTTP/2 connection may cancel requests.
///
/// Unit: requests per second. Test: `crates/apiserver/src/serve/deadlines.rs::reset_budget_refills_over_time`.
pub const RESETS_PER_SECOND: u32 = 100;
/// The idle time after which TCP keep-alive probes begin: the value of kube-apiserver.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::connections_use_tcp_keep_alive`.
pub const TCP_KEEPALIVE: Duration = Duration::from_mins(3);
/// The interval between two TCP keep-alive probes.
///
/// Unit: time. Test: `crates/ipamd/tests/it/connections.rs::connections_use_tcp_keep_alive`.
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The interval of HTTP/2 pings.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::http2_connection_without_ping_responses_is_closed`.
pub const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// The timeout of the response to an HTTP/2 ping.
///
/// Unit: time. Test: `crates/apiserver/tests/it/connections.rs::http2_connection_without_ping_responses_is_closed`.
pub const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The time that a read waits for a revision in the future.
///
/// Unit: time. Test:
/// `crates/apiserver/tests/it/list.rs::read_at_a_future_revision_waits_and_then_times_out`.
pub const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);
/// The interval between two bookmarks of a watch.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watch.rs::bookmark_is_sent_every_minute`.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// The time between the last bookmark of a watch and its end.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watch.rs::watch_ends_at_its_timeout_after_a_bookmark`.
pub const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The minimum lifetime of a watch without a timeout; the maximum is twice that.
///
/// Unit: time. Test:
/// `crates/apiserver/tests/it/watch.rs::default_watch_timeout_is_random_between_30_and_60_minutes`.
pub const WATCH_TIMEOUT_MIN: Duration = Duration::from_mins(30);
/// The maximum lifetime of a watch.
///
/// Unit: time. Test: `crates/apiserver/tests/it/watch.rs::largest_timeout_seconds_is_accepted`.
pub const WATCH_TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Concurrent streams, that is requests and watches, of one HTTP/2 connection: the value of kube-apiserver.
///
/// Unit: streams. Flag: `--http2-max-streams-per-connection`. Test: `crates/apiserver/tests/it/connections.rs::http2_settings_announce_the_limits`.
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// The flow-control window of one HTTP/2 stream; that of the connection is this times the number of streams. The value
/// of kube-apiserver.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::http2_settings_announce_the_limits`.
pub const HTTP2_WINDOW_BYTES: u32 = 256 * 1024;
/// The maximum size of an HTTP/2 frame that the server accepts.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::oversized_http2_frame_ends_its_connection`.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// The send buffer of one HTTP/2 stream, in addition to one piece of the response.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/connections.rs::connection_of_a_client_that_does_not_read_is_closed`.
pub const HTTP2_SEND_BYTES_MAX: usize = 64 * 1024;
/// Streams of one HTTP/2 connection that the client resets before the server has accepted them.
///
/// Unit: streams. Test: `crates/apiserver/tests/it/connections.rs::rapid_http2_resets_end_the_connection`.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Streams of one HTTP/2 connection that the server resets because of a protocol error of the client.
///
/// Unit: streams. Test: `crates/apiserver/tests/it/connections.rs::too_many_http2_protocol_errors_end_the_connection`.
pub const HTTP2_ERRORS_MAX: usize = 256;
/// The number of attempts to generate a name that is not taken.
///
/// Unit: tries. Test: `crates/apiserver/tests/it/requests.rs::generated_name_that_is_taken_is_generated_again`.
pub const GENERATED_NAME_TRIES: usize = 8;

/// The groups that one request may impersonate.
///
/// Unit: groups. Test: `crates/apiserver/src/impersonation.rs::impersonated_groups_are_limited`.
pub const IMPERSONATED_GROUPS_MAX: usize = 1_000;
/// The first retry delay of background work; it doubles with each failure.
///
/// Unit: time. Test: `crates/apiserver-standalone/src/work_queue.rs::failed_keys_are_retried_with_growing_delays`,
/// `crates/apiserver/src/supervisor.rs::panicking_task_is_restarted_with_growing_delays`.
pub const BACKGROUND_RETRY_MIN: Duration = Duration::from_millis(100);
/// The maximum retry delay of background work.
///
/// Unit: time. Test: `crates/apiserver-standalone/src/work_queue.rs::failed_keys_are_retried_with_growing_delays`,
/// `crates/apiserver/src/supervisor.rs::panicking_task_is_restarted_with_growing_delays`.
pub const BACKGROUND_RETRY_MAX: Duration = Duration::from_mins(1);

/// Entries (object and reason) of the queue of the server's own events: occurrences that wait to be written, or were
/// written recently. Beyond this the oldest is dropped.
///
/// Unit: occurrences. Test: `crates/apiserver/src/event_queue.rs::full_event_queue_drops_the_oldest_occurrence`.
pub const EVENT_QUEUE_MAX: usize = 1_024;
/// The minimum interval between two writes of the server's own event for the same object and reason. Occurrences in
/// between are counted.
///
/// Unit: time. Test: `crates/apiserver/src/event_queue.rs::occurrences_are_counted_between_two_writes`.
pub const EVENT_WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The interval at which the store is probed; readiness probes get the last result.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::probes_do_not_reach_the_store`.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The duration of a probe of the store after which the server is not ready.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::hanging_store_makes_the_server_unready`.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The time that a write waits for its commit after which the server is not ready.
///
/// Unit: time. Test: `crates/apiserver/tests/it/readiness.rs::hanging_commit_makes_the_server_unready`.
pub const COMMAND_AGE_MAX: Duration = Duration::from_secs(5);
/// The interval between two log lines about a continuing failure.
///
/// Unit: time. Test: `crates/apiserver/src/outage.rs::outage_is_logged_when_it_begins_and_then_at_intervals`.
pub const OUTAGE_LOG_INTERVAL: Duration = Duration::from_mins(1);
/// Reports of ended tasks that have not been read; further tasks wait to deliver theirs.
///
/// Unit: reports. Test: `crates/apiserver/src/supervisor.rs::wait_for_one_task_reports_the_failure_of_another`.
pub const SUPERVISED_ENDS_MAX: usize = 16;

/// The limits that an operator can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reading requests in progress; see [`READ_REQUESTS_MAX`].
    pub read_requests: usize,
    /// Writing requests in progress; see [`MUTATING_REQUESTS_MAX`].
    pub mutating_requests: usize,
    /// The maximum size of a request body, in bytes; see [`BODY_BYTES_MAX`].
    pub body_bytes: usize,
    /// The memory of the bodies of writing requests in progress, in bytes; see [`BODIES_BYTES_MAX`].
    pub bodies_bytes: usize,
    /// Open watches; see [`WATCHES_MAX`].
    pub watches: usize,
    /// Events in the watch cache; see [`RECENT_EVENTS_MAX`].
    pub recent_events: usize,
    /// Open connections; see [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Connections of unauthenticated clients; see [`UNAUTHENTICATED_CONNECTIONS_MAX`].
    pub unauthenticated_connections: usize,
    /// Concurrent streams of one HTTP/2 connection; see [`HTTP2_STREAMS_MAX`].
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
            connections: CONNECTIONS_MAX,
            unauthenticated_connections: UNAUTHENTICATED_CONNECTIONS_MAX,
            http2_streams: HTTP2_STREAMS_MAX,
        }
    }
}
/// The objects that are logged at the start because their stored status differs from the spans that are held.
///
/// Unit: objects. Test: `crates/apiserver/tests/it/requests.rs::restored_status_that_differs_from_the_spans_is_counted`.
pub const DISAGREEMENTS_LOGGED_MAX: usize = 10;
