//! The limits of standalone mode, each with its unit. The page `docs/limits.md` is generated from this file.

use std::time::Duration;

/// The rules of one role. Their expansion is limited by [`apimachinery::limits::RULE_PAIRS_MAX`].
///
/// Unit: rules. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const ROLE_RULES_MAX: usize = 1_000;
/// The subjects of one binding.
///
/// Unit: subjects. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const BINDING_SUBJECTS_MAX: usize = 5_000;
/// The entries of `data`, and of `binaryData`, of one ConfigMap.
///
/// Unit: entries. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const CONFIG_MAP_ENTRIES_MAX: usize = 16_384;
/// The size of all values of one ConfigMap (`MaxSecretSize` of core/v1).
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/standalone.rs::invalid_config_maps_report_all_field_errors`.
pub const CONFIG_MAP_BYTES_MAX: usize = 1024 * 1024;
/// The maximum length of a key of a ConfigMap.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/standalone.rs::invalid_config_maps_report_all_field_errors`.
pub const CONFIG_MAP_KEY_BYTES_MAX: usize = 253;
/// The conditions of one namespace.
///
/// Unit: conditions. Test: `crates/ipamd/tests/it/worst_bodies.rs::over_long_lists_are_rejected_with_limit`.
pub const NAMESPACE_CONDITIONS_MAX: usize = 100;
/// The finalizers of remaining objects that the condition of a namespace names.
///
/// Unit: finalizers. Test: `crates/apiserver-standalone/src/namespace_controller/conditions.rs::condition_names_finalizers_up_to_the_limit`.
pub const CONDITION_FINALIZERS_MAX: usize = 20;
/// The owners of one object that a write looks up to warn of missing ones.
///
/// Unit: owner references. Test: `crates/apiserver/tests/it/garbage_collection.rs::owners_beyond_the_limit_cause_no_warning`.
pub const OWNERS_LOOKED_UP_MAX: usize = 8;
/// Concurrent writes of the garbage collector, and of the deletion of namespaces.
///
/// Unit: requests. Test: `crates/apiserver-standalone/src/work_queue.rs::work_queue_returns_at_most_the_requested_keys`.
pub const BACKGROUND_WRITES_MAX: usize = 64;
/// The age of an event since its last write at which it is deleted: `--event-ttl` of kube-apiserver.
///
/// Unit: time. Test: `crates/apiserver/tests/it/events.rs::events_expire_an_hour_after_their_last_write`.
pub const EVENT_AGE_MAX: Duration = Duration::from_hours(1);
/// The events of one namespace; beyond that the oldest are deleted.
///
/// Unit: events. Test: `crates/apiserver/tests/it/events.rs::oldest_events_over_the_namespace_limit_are_deleted`.
pub const EVENTS_PER_NAMESPACE_MAX: usize = 4_096;
/// The encoded size of the events of one namespace; beyond that the oldest are deleted.
///
/// Unit: bytes. Test: `crates/apiserver-standalone/src/events/retention.rs::events_of_a_namespace_are_limited_in_number_and_bytes`.
pub const EVENTS_BYTES_PER_NAMESPACE_MAX: usize = 8 * 1024 * 1024;
/// The maximum length of the reporting instance, the action and the reason of an event of `events.k8s.io/v1`, each, as
/// in Kubernetes.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/events.rs::invalid_events_report_field_names_of_their_version`.
pub const EVENT_WORD_BYTES_MAX: usize = 128;
/// The maximum length of the note of an event of `events.k8s.io/v1`, as in Kubernetes.
///
/// Unit: bytes. Test: `crates/apiserver/tests/it/events.rs::invalid_events_report_field_names_of_their_version`.
pub const EVENT_NOTE_BYTES_MAX: usize = 1024;
