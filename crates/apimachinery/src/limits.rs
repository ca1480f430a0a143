//! Every limit of a request and of an object, with its unit. What real clients send stays far below all of them: they bound
//! the memory and the time that one request can cost, and the length of its answer.

/// The causes that one refusal names. The message says how many more there are.
///
/// Unit: causes. Test: `crates/apimachinery/src/refusal.rs::a_refusal_is_bounded_whatever_it_is_about`.
pub const CAUSES_MAX: usize = 100;
/// The message of one refusal, as JSON.
///
/// Unit: bytes. Test: `crates/apimachinery/src/refusal.rs::a_refusal_is_bounded_whatever_it_is_about`.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The causes of one refusal, all together, as JSON.
///
/// Unit: bytes. Test: `crates/apimachinery/src/refusal.rs::a_refusal_is_bounded_whatever_it_is_about`.
pub const CAUSES_BYTES_MAX: usize = 24 * 1024;
/// The unknown fields that one answer names, and the faults that are found in one body.
///
/// Unit: fields. Test: `crates/apimachinery/src/schema/check/tests.rs::what_is_reported_is_bounded_and_all_is_removed`.
pub const FINDINGS_MAX: usize = 100;
/// The repeated keys of one body that an answer names.
///
/// Unit: keys. Test: `crates/apimachinery/src/schema/decode/tests.rs::repeated_keys_are_named_up_to_a_limit`.
pub const DUPLICATES_MAX: usize = 100;
/// The faults that an apply names in one configuration.
///
/// Unit: faults. Test: `crates/apimachinery/src/managed/tests/typed.rs::misfits_are_named_up_to_a_limit`.
pub const MISFITS_MAX: usize = 100;
/// The warnings of one answer, all together; beyond this each is cut to [`WARNING_CHARS_MAX`]: as kube-apiserver does.
///
/// Unit: characters. Test: `crates/apimachinery/src/warning.rs::texts_are_cut_only_when_they_are_too_long_together`.
pub const WARNINGS_CHARS_MAX: usize = 4096;
/// One warning of an answer whose warnings are too long together.
///
/// Unit: characters. Test: `crates/apimachinery/src/warning.rs::texts_are_cut_only_when_they_are_too_long_together`.
pub const WARNING_CHARS_MAX: usize = 256;
/// A value as a fault quotes it.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::a_long_value_is_quoted_by_its_beginning`.
pub const QUOTED_BYTES_MAX: usize = 1024;
/// A name in the path of a field. The longest key of a label has 317 bytes.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::a_long_path_is_cut`.
pub const PATH_NAME_BYTES_MAX: usize = 512;
/// The path of a field.
///
/// Unit: bytes. Test: `crates/apimachinery/src/field.rs::a_long_path_is_cut`.
pub const PATH_BYTES_MAX: usize = 2 * 1024;

/// What the JSON tree of one body, or of one object with its managed fields, may take of memory.
///
/// Unit: bytes. Test: `crates/apimachinery/src/schema/decode/tests.rs::a_body_of_many_small_values_is_too_large`.
pub const DECODED_BYTES_MAX: usize = 6 * 1024 * 1024;
/// The same of a JSON patch: room for [`OPERATIONS_MAX`] operations, which are never copied as a whole.
///
/// Unit: bytes. Test: `crates/apimachinery/src/patch/tests.rs::a_json_patch_may_have_as_many_operations_as_it_may`.
pub const DECODED_PATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How deep a body may nest, and what a patch makes of an object.
///
/// Unit: levels. Test: `crates/apimachinery/src/schema/decode/tests.rs::nesting_has_one_bound_for_both_formats`.
pub const DEPTH_MAX: usize = 64;
/// The nodes that the aliases of a YAML body may stand for, all together.
///
/// Unit: nodes. Test: `crates/apimachinery/src/schema/decode/tests.rs::aliases_are_bounded`.
pub const ALIASED_NODES_MAX: usize = 10_000;
/// How much longer than plain JSON an answer may become by being indented, or written as YAML; an answer that would be
/// longer is sent as plain JSON, which is YAML too.
///
/// Unit: times. Test: `crates/apimachinery/src/negotiate/tests.rs::deep_nesting_is_not_indented`.
pub const LAYOUT_GROWTH_MAX: usize = 3;
/// An indented answer, or one in YAML, of up to this length may be however much longer than plain JSON.
///
/// Unit: bytes. Test: `crates/apimachinery/src/negotiate/tests.rs::deep_nesting_is_not_indented`.
pub const LAYOUT_BYTES_MIN: usize = 32 * 1024;

/// The operations of one JSON patch.
///
/// Unit: operations. Test: `crates/apimachinery/src/patch/tests.rs::growth_and_length_are_bounded`.
pub const OPERATIONS_MAX: usize = 10_000;
/// What `copy` and `move` of one JSON patch may carry around, all together, as a JSON tree in memory.
///
/// Unit: bytes. Test: `crates/apimachinery/src/patch/tests.rs::growth_and_length_are_bounded`.
pub const CARRIED_BYTES_MAX: usize = 3 * 1024 * 1024;
/// The items of lists that one JSON patch may shift by adding or removing others before them, all together.
///
/// Unit: items. Test: `crates/apimachinery/src/patch/tests.rs::shifted_items_are_bounded`.
pub const ITEMS_SHIFTED_MAX: usize = 2_000_000;

/// The labels of one object.
///
/// Unit: labels. Test: `crates/apimachinery/src/schema/check/tests.rs::lists_of_metadata_are_bounded`.
pub const LABELS_MAX: usize = 1_000;
/// The annotations of one object.
///
/// Unit: annotations. Test: `crates/apimachinery/src/schema/check/tests.rs::lists_of_metadata_are_bounded`.
pub const ANNOTATIONS_MAX: usize = 10_000;
/// The annotations of one object, all together.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::every_fault_of_the_rest_is_named`.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// The finalizers of one object.
///
/// Unit: finalizers. Test: `crates/apimachinery/src/schema/check/tests.rs::lists_of_metadata_are_bounded`.
pub const FINALIZERS_MAX: usize = 1_000;
/// The owners of one object.
///
/// Unit: owner references. Test: `crates/apimachinery/src/schema/check/tests.rs::lists_of_metadata_are_bounded`.
pub const OWNERS_MAX: usize = 1_000;
/// The entries of `managedFields` in one body.
///
/// Unit: entries. Test: `crates/apimachinery/src/schema/check/tests.rs::lists_of_metadata_are_bounded`.
pub const MANAGERS_MAX: usize = 1_000;
/// The managers that apply to one object. There is room for those that update it below [`MANAGERS_MAX`].
///
/// Unit: managers. Test: `crates/apimachinery/src/managed/tests/apply.rs::appliers_of_one_object_are_bounded`.
pub const APPLIERS_MAX: usize = 900;
/// The managers of one object that only ever updated it; beyond this the oldest are merged into one, called
/// `ancient-changes`.
///
/// Unit: managers. Test: `crates/apimachinery/src/managed/tests/endpoint.rs::cap_update_managers`.
pub const UPDATE_MANAGERS_MAX: usize = 10;
/// The longest path of a field in `managedFields`: one that nests deeper belongs to no object that could have been stored.
///
/// Unit: elements. Test: `crates/apimachinery/src/managed/tests/sets.rs::depth_is_bounded`.
pub const FIELD_PATH_ELEMENTS_MAX: usize = 128;

/// The longest DNS label, label value, and name part of a label key (RFC 1123).
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::the_words_are_those_of_kubernetes`.
pub const LABEL_BYTES_MAX: usize = 63;
/// The longest DNS subdomain, which is the longest name of most objects (RFC 1123).
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::the_words_are_those_of_kubernetes`.
pub const SUBDOMAIN_BYTES_MAX: usize = 253;
/// The part of `generateName` that is kept before the random letters.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::generated_names_keep_what_fits`.
pub const GENERATED_BASE_BYTES_MAX: usize = 58;
/// The longest name of a field manager.
///
/// Unit: bytes. Test: `crates/apimachinery/src/metadata/tests.rs::names_of_field_managers_are_bounded`.
pub const MANAGER_BYTES_MAX: usize = 128;

/// The pairs of verb and thing that the rules of one role multiply out to.
///
/// Unit: pairs. Test: `crates/apimachinery/src/access/rule/tests.rs::rules_are_counted_without_being_multiplied_out`.
pub const RULE_PAIRS_MAX: usize = 10_000;
/// Comparisons of the rules to be given with the rules that the giver has, 64 of those at once.
///
/// Unit: comparisons. Test: `crates/apimachinery/src/access/rule/tests.rs::comparisons_of_rules_are_bounded`.
pub const RULE_COMPARISONS_MAX: usize = 1_000_000;
/// Missing permissions that a refusal names.
///
/// Unit: things. Test: `crates/apimachinery/src/access/rule/tests.rs::missing_permissions_are_named_up_to_a_limit`.
pub const MISSING_RULES_MAX: usize = 100;

/// The parameters of one query string.
///
/// Unit: parameters. Test: `crates/apimachinery/src/options/tests.rs::parameters_are_bounded`.
pub const QUERY_PARAMETERS_MAX: usize = 1_000;
/// The requirements of one selector.
///
/// Unit: requirements. Test: `crates/apimachinery/src/selector/tests.rs::requirements_are_bounded`.
pub const REQUIREMENTS_MAX: usize = 1_000;
/// The media types of one `Accept` header, or encodings of one `Accept-Encoding` header, that count: the first ones.
///
/// Unit: media types. Test: `crates/apimachinery/src/negotiate/tests.rs::the_first_media_types_count`.
pub const MEDIA_TYPES_MAX: usize = 100;
/// The longest `continue` token; those that the service gives are far shorter.
///
/// Unit: bytes. Test: `crates/apimachinery/src/list/tests.rs::a_malformed_token_is_refused`.
pub const CONTINUE_TOKEN_BYTES_MAX: usize = 4096;
