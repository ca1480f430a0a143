//! All limits on requests and objects, with their units. Requests of real clients stay far below them. They bound the
//! memory and time that one request can use, and the size of its response.

/// Causes in one API error; the message states how many more there are.
///
/// Unit: causes. Test: `crates/apimachinery/src/status_error.rs::status_size_is_bounded`.
pub const CAUSES_MAX: usize = 100;
/// Message of one API error, encoded as JSON.
///
/// Unit: bytes. Test: `crates/apimachinery/src/status_error.rs::status_size_is_bounded`.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// All causes of one API error together, encoded as JSON.
///
/// Unit: bytes. Test: `crates/apimachinery/src/status_error.rs::status_size_is_bounded`.
pub const CAUSES_BYTES_MAX: usize = 24 * 1024;
/// Unknown fields named in one response, and field errors of the schema for one body.
///
/// Unit: fields. Test: `crates/apimachinery/src/schema/check/tests.rs::reported_fields_are_bounded_and_all_are_removed`.
pub const SCHEMA_ERRORS_MAX: usize = 100;
/// Repeated keys of one body named in a response.
///
/// Unit: keys. Test: `crates/apimachinery/src/body/decode/tests.rs::reported_repeated_keys_are_bounded`.
pub const DUPLICATES_MAX: usize = 100;
/// Field errors reported for one apply configuration.
///
/// Unit: errors. Test: `crates/apimachinery/src/managed_fields/tests/typed.rs::reported_mismatches_are_bounded`.
pub const VALIDATION_ERRORS_MAX: usize = 100;
/// All warnings of one response together. If they are longer, each is truncated to [`WARNING_CHARS_MAX`], as
/// kube-apiserver does.
///
/// Unit: characters. Test: `crates/apimachinery/src/warning.rs::warnings_are_truncated_only_when_too_long_together`.
pub const WARNINGS_CHARS_MAX: usize = 4096;
/// One warning of a response whose warnings exceed [`WARNINGS_CHARS_MAX`].
///
/// Unit: characters. Test: `crates/apimachinery/src/warning.rs::warnings_are_truncated_only_when_too_long_together`.
pub const WARNING_CHARS_MAX: usize = 256;
/// A value quoted in a field error.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::long_value_is_quoted_up_to_limit`.
pub const QUOTED_BYTES_MAX: usize = 1024;
/// One name in a field path. The longest label key has 317 bytes.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::long_path_is_truncated`.
pub const PATH_NAME_BYTES_MAX: usize = 512;
/// A field path.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::long_path_is_truncated`.
pub const PATH_BYTES_MAX: usize = 2 * 1024;

/// Memory of the JSON tree of one body, or of one object with its managed fields.
///
/// Unit: bytes. Test: `crates/apimachinery/src/body/decode/tests.rs::body_of_many_small_values_is_too_large`.
pub const DECODED_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Memory of the JSON tree of one JSON patch: enough for [`OPERATIONS_MAX`] operations, which are never copied as a
/// whole.
///
/// Unit: bytes. Test: `crates/apimachinery/src/patch/tests.rs::json_patch_may_have_the_maximum_of_operations`.
pub const DECODED_PATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Nesting depth of a body, and of the result of a patch.
///
/// Unit: levels. Test: `crates/apimachinery/src/body/decode/tests.rs::nesting_depth_is_bounded_in_json_and_yaml`.
pub const DEPTH_MAX: usize = 64;
/// Nodes that all aliases of one YAML body expand to.
///
/// Unit: nodes. Test: `crates/apimachinery/src/body/decode/tests.rs::yaml_aliases_are_bounded`.
pub const ALIASED_NODES_MAX: usize = 10_000;
/// Size of an indented or YAML response as a multiple of compact JSON. A response that would be larger is sent as
/// compact JSON, which is valid YAML.
///
/// Unit: times. Test: `crates/apimachinery/src/negotiate/tests.rs::deeply_nested_json_is_not_indented`.
pub const LAYOUT_GROWTH_MAX: usize = 3;
/// Size up to which an indented or YAML response is exempt from [`LAYOUT_GROWTH_MAX`].
///
/// Unit: bytes. Test: `crates/apimachinery/src/negotiate/tests.rs::deeply_nested_json_is_not_indented`.
pub const LAYOUT_BYTES_MIN: usize = 32 * 1024;

/// Operations of one JSON patch.
///
/// Unit: operations. Test: `crates/apimachinery/src/patch/tests.rs::json_patch_limits_copied_bytes_and_operations`.
pub const OPERATIONS_MAX: usize = 10_000;
/// Data that all `copy` and `move` operations of one JSON patch copy, as a JSON tree in memory.
///
/// Unit: bytes. Test: `crates/apimachinery/src/patch/tests.rs::json_patch_limits_copied_bytes_and_operations`.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;
/// List items that one JSON patch shifts by adding or removing items before them.
///
/// Unit: items. Test: `crates/apimachinery/src/patch/tests.rs::json_patch_limits_shifted_list_items`.
pub const ITEMS_SHIFTED_MAX: usize = 2_000_000;

/// Labels of one object.
///
/// Unit: labels. Test: `crates/apimachinery/src/schema/check/tests.rs::metadata_lists_are_bounded`.
pub const LABELS_MAX: usize = 1_000;
/// Annotations of one object.
///
/// Unit: annotations. Test: `crates/apimachinery/src/schema/check/tests.rs::metadata_lists_are_bounded`.
pub const ANNOTATIONS_MAX: usize = 10_000;
/// All annotations of one object together.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::all_metadata_errors_are_reported`.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Finalizers of one object.
///
/// Unit: finalizers. Test: `crates/apimachinery/src/schema/check/tests.rs::metadata_lists_are_bounded`.
pub const FINALIZERS_MAX: usize = 1_000;
/// Owner references of one object.
///
/// Unit: owner references. Test: `crates/apimachinery/src/schema/check/tests.rs::metadata_lists_are_bounded`.
pub const OWNERS_MAX: usize = 1_000;
/// Entries of `managedFields` in one body.
///
/// Unit: entries. Test: `crates/apimachinery/src/schema/check/tests.rs::metadata_lists_are_bounded`.
pub const MANAGERS_MAX: usize = 1_000;
/// Managers with an apply entry in one object. Less than [`MANAGERS_MAX`], to leave room for managers that update.
///
/// Unit: managers. Test: `crates/apimachinery/src/managed_fields/tests/apply.rs::appliers_of_one_object_are_bounded`.
pub const APPLIERS_MAX: usize = 900;
/// Managers of one object with only update entries; above this the oldest entries are merged into one named
/// `ancient-changes`.
///
/// Unit: managers. Test: `crates/apimachinery/src/managed_fields/tests/field_manager.rs::update_managers_are_capped`.
pub const UPDATE_MANAGERS_MAX: usize = 10;
/// Length of a field path in `managedFields`. No object that can be stored has deeper fields.
///
/// Unit: elements. Test: `crates/apimachinery/src/managed_fields/tests/sets.rs::path_depth_is_bounded`.
pub const FIELD_PATH_ELEMENTS_MAX: usize = 128;

/// Length of a DNS label, of a label value, and of the name part of a label key (RFC 1123).
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::validation_messages_equal_those_of_kubernetes`.
pub const LABEL_BYTES_MAX: usize = 63;
/// Length of a DNS subdomain, and of the names of most objects (RFC 1123).
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::validation_messages_equal_those_of_kubernetes`.
pub const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Part of `generateName` that is kept before the random suffix.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::generated_names_are_truncated_to_fit`.
pub const GENERATED_BASE_BYTES_MAX: usize = 58;
/// Length of a field manager's name.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::field_manager_names_are_bounded`.
pub const MANAGER_BYTES_MAX: usize = 128;

/// Pairs of verb and target that the rules of one role expand to.
///
/// Unit: pairs. Test: `crates/apimachinery/src/rbac/rule/tests.rs::rule_pairs_are_counted_without_expansion`.
pub const RULE_PAIRS_MAX: usize = 10_000;
/// Comparisons of the rules to grant with the caller's rules; one compares with up to 64 of these.
///
/// Unit: comparisons. Test: `crates/apimachinery/src/rbac/rule/tests.rs::rule_comparisons_are_bounded`.
pub const RULE_COMPARISONS_MAX: usize = 1_000_000;
/// Missing permissions named in an API error.
///
/// Unit: rules. Test: `crates/apimachinery/src/rbac/rule/tests.rs::missing_permissions_are_bounded`.
pub const MISSING_RULES_MAX: usize = 100;

/// Parameters of one query string.
///
/// Unit: parameters. Test: `crates/apimachinery/src/options/tests.rs::query_parameters_are_bounded`.
pub const QUERY_PARAMETERS_MAX: usize = 1_000;
/// Requirements of one selector.
///
/// Unit: requirements. Test: `crates/apimachinery/src/selector/tests.rs::selector_requirements_are_bounded`.
pub const REQUIREMENTS_MAX: usize = 1_000;
/// Media types of one `Accept` header, or encodings of one `Accept-Encoding` header; later ones are ignored.
///
/// Unit: media types. Test: `crates/apimachinery/src/negotiate/tests.rs::only_the_first_media_types_are_considered`.
pub const MEDIA_TYPES_MAX: usize = 100;
/// Length of a `continue` token; those issued by the service are far shorter.
///
/// Unit: bytes. Test: `crates/apimachinery/src/list/tests.rs::malformed_tokens_are_rejected`.
pub const CONTINUE_TOKEN_BYTES_MAX: usize = 4096;
