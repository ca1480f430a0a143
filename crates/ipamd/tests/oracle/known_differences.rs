//! The intended differences, each with its reason.

mod access;
mod pools;

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::{
    compare::Difference,
    compared_kind::ComparedKind,
    request::{Body, Request},
};

/// A difference between two answers, with its context.
pub struct Case<'a> {
    /// The compared kinds.
    pub subject: &'static dyn ComparedKind,
    /// The request; `None` for an event.
    pub request: Option<&'a Request>,
    /// The whole answer of our server.
    pub ours: &'a Value,
    /// The whole answer of kube-apiserver.
    pub theirs: &'a Value,
    /// The difference.
    pub difference: &'a Difference,
}

/// An intended difference.
pub struct KnownDifference {
    /// The name in the summary line.
    pub name: &'static str,
    /// The reason for the difference.
    pub reason: &'static str,
    applies: fn(&Case<'_>) -> bool,
}

/// Returns the explanation of a difference, if there is one.
pub fn find_known_difference(case: &Case<'_>) -> Option<&'static KnownDifference> {
    let of_kind = match case.subject {
        subject if subject.is_native() => access::KNOWN_DIFFERENCES,
        subject if subject.has_service() => pools::KNOWN_DIFFERENCES,
        _ => &[],
    };
    of_kind.iter().chain(KNOWN_DIFFERENCES).find(|explanation| (explanation.applies)(case))
}

impl Case<'_> {
    fn codes(&self) -> (u64, u64) {
        let code = |answer: &Value| answer["code"].as_u64().unwrap_or_default();
        (code(self.ours), code(self.theirs))
    }

    fn same_codes(&self) -> bool {
        self.codes().0 == self.codes().1
    }

    fn they_say(&self, text: &str) -> bool {
        self.theirs["body"]["message"].as_str().is_some_and(|message| message.contains(text))
    }

    fn we_say(&self, text: &str) -> bool {
        self.ours["body"]["message"].as_str().is_some_and(|message| message.contains(text))
    }

    fn at(&self, end: &str) -> bool {
        self.difference.pointer.ends_with(end)
    }

    fn is_dry(&self) -> bool {
        let is_dry = |(name, value): &(&str, String)| *name == "dryRun" && value == "All";
        self.request.is_some_and(|request| request.query.iter().any(is_dry))
    }

    /// True if a body sets `deletionTimestamp`, or a patch repeats an owner reference.
    fn sets_what_is_dropped(&self) -> bool {
        let Some(request) = self.request else { return false };
        let (Body::Json(body) | Body::Current(body)) = &request.body else { return false };
        let owners = body["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        let repeats = owners.iter().enumerate().any(|(index, owner)| owners[..index].contains(owner));
        body.pointer("/metadata/deletionTimestamp").is_some() || repeats && request.method == Method::PATCH
    }

    /// True if the request is server-side apply of a status.
    fn applies_status(&self) -> bool {
        self.request.is_some_and(|request| {
            request.subresource == "/status" && request.content_type.is_some_and(|of| of.contains("apply"))
        })
    }

    /// True if an entry of managedFields has a time only in the answer of kube-apiserver.
    fn adds_a_time(&self) -> bool {
        let owners =
            |answer: &Value| answer["body"]["metadata"]["managedFields"].as_object().cloned().unwrap_or_default();
        let ours = owners(self.ours);
        owners(self.theirs).iter().any(|(name, owner)| {
            owner.get("time").is_some() && ours.get(name).is_some_and(|owner| owner.get("time").is_none())
        })
    }

    /// True if a part of the body that the request does not write has a wrong type, or if a status is written with another kind or
    /// version.
    fn is_beside_the_untypable(&self) -> bool {
        let Some(request) = self.request else { return false };
        let (Body::Json(body) | Body::Current(body)) = &request.body else { return false };
        let mut body = body.clone();
        let is_other =
            body.get("kind").is_some_and(|kind| kind == "Thing") || body["apiVersion"] == self.subject.other_version();
        let writes_status = request.subresource == "/status";
        let dropped = if writes_status { "spec" } else { "status" };
        is_other && writes_status
            || self
                .subject
                .schema()
                .check(&mut body)
                .errors
                .iter()
                .any(|fault| fault.path.as_str().starts_with(dropped))
    }

    /// True if the difference is in the message or the details of a Status.
    fn at_status(&self) -> bool {
        self.difference.pointer == "/body/message" || self.difference.pointer.starts_with("/body/details")
    }

    /// True if both servers reject the patch itself, and not a field of the object.
    fn of_the_patch(&self) -> bool {
        let is_patch = |answer: &Value| answer["body"]["details"]["causes"][0]["field"] == "patch";
        let they_blame_it =
            is_patch(self.theirs) || self.they_say("the server rejected our request due to an error in our request");
        self.codes() == (422, 422) && is_patch(self.ours) && they_blame_it
    }

    /// Returns the sorted causes of both answers; those of kube-apiserver without duplicates.
    fn causes(&self) -> (Vec<String>, Vec<String>) {
        let sorted = |answer: &Value| {
            let causes = answer["body"]["details"]["causes"].as_array().into_iter().flatten();
            let mut causes: Vec<_> = causes.map(Value::to_string).collect();
            causes.sort();
            causes
        };
        let (ours, mut theirs) = (sorted(self.ours), sorted(self.theirs));
        theirs.dedup();
        (ours, theirs)
    }

    fn have_the_same_causes(&self) -> bool {
        let (ours, theirs) = self.causes();
        self.same_codes() && self.difference.pointer.starts_with("/body/details/causes") && ours == theirs
    }

    fn theirs_is(&self, value: &Value) -> bool {
        self.difference.theirs.as_ref() == Some(value)
    }
}

/// The message of kube-apiserver if it did not evaluate the rules of a CRD.
const UNCHECKED: &str = "some validation rules were not checked because the object was invalid";

const KNOWN_DIFFERENCES: &[KnownDifference] = &[
    KnownDifference {
        name: "version-on-create",
        reason: "kube-apiserver answers 500 to a create with a resourceVersion; ours answers 400, because it is an error of the client",
        applies: |case| {
            case.codes() == (400, 500) && case.they_say("resourceVersion should not be set on objects to be created")
        },
    },
    KnownDifference {
        name: "version-on-dry-create",
        reason: "kube-apiserver accepts a resourceVersion in the dry run of a create, but not in the create itself; ours rejects both",
        applies: |case| {
            let text = "resourceVersion should not be set on objects to be created";
            case.is_dry() && matches!(case.codes(), (400, 201 | 409)) && case.we_say(text)
        },
    },
    KnownDifference {
        name: "version-of-dry-apply",
        reason: "in ours the object of a dry run of a create has no resourceVersion; kube-apiserver returns that of the applied object",
        applies: |case| {
            let is_version = case.difference.pointer == "/body/metadata/resourceVersion";
            case.is_dry() && case.codes() == (201, 201) && is_version && case.difference.ours.is_none()
        },
    },
    KnownDifference {
        name: "malformed-version",
        reason: "kube-apiserver answers 500 to a resourceVersion that is not a number; ours answers 400 or 409, because it is an error of the client",
        applies: |case| matches!(case.codes(), (400 | 409, 500)) && case.they_say("strconv.ParseUint"),
    },
    KnownDifference {
        name: "untypable-apply",
        reason: "kube-apiserver answers 500 to an applied object that does not match the types of its schema; ours answers 400",
        applies: |case| case.codes() == (400, 500) && case.they_say("failed to create typed patch object"),
    },
    KnownDifference {
        name: "empty-continue",
        reason: "lists of custom resources have an empty `continue`; ours omits it, like lists of built-in kinds",
        applies: |case| case.at("/metadata/continue") && case.difference.ours.is_none() && case.theirs_is(&json!("")),
    },
    KnownDifference {
        name: "no-null-lists",
        reason: "where kube-apiserver has null for `items`, `rows` or `finalizers`, ours has an empty list or omits the field, as clients expect",
        applies: |case| {
            let pointer = case.difference.pointer.as_str();
            let is_list = ["/body/items", "/body/rows"].contains(&pointer) && case.difference.ours == Some(json!([]));
            let is_absent = pointer == "/body/metadata/finalizers" && case.difference.ours.is_none();
            (is_list || is_absent) && case.theirs_is(&Value::Null)
        },
    },
    KnownDifference {
        name: "accepted-types",
        reason: "the message lists the accepted media types, which in kube-apiserver include protobuf, or names Go types",
        applies: |case| {
            let lists = case.they_say("media types") || case.they_say("but the requested object is");
            matches!(case.codes(), (406, 406) | (415, 415)) && lists && case.difference.pointer == "/body/message"
        },
    },
    KnownDifference {
        name: "negotiation-first",
        reason: "ours negotiates the format of the answer before anything else, and so never answers 500 to an unsupported one",
        applies: |case| {
            let asks = case.request.and_then(|request| request.accept).unwrap_or_default();
            let partial = case.ours["code"] == 406 && asks.contains("as=PartialObjectMetadata");
            let table = case.ours["code"] == 400 && case.we_say("Unable to convert to Table as requested");
            (partial || table) && matches!(case.codes().1, 400 | 404 | 422 | 500)
        },
    },
    KnownDifference {
        name: "words-of-go",
        reason: "the message quotes Go parsers, types or files",
        applies: |case| {
            let go = [
                "strconv.",
                "in scheme \"pkg/",
                "json parse error",
                "Go value",
                "StorageError",
                "yaml: ",
                "json: ",
                "invalid character",
                "unexpected end of JSON",
                "invalid JSON",
                "cannot unmarshal",
            ];
            case.same_codes() && case.at("/body/message") && go.iter().any(|text| case.they_say(text))
        },
    },
    KnownDifference {
        name: "words-of-selectors",
        reason: "the error message for a selector differs; the code and the reason are the same",
        applies: |case| {
            let words = ["unable to parse requirement", "invalid selector", "found '", "field label not supported"];
            case.codes() == (400, 400) && case.at("/body/message") && words.iter().any(|text| case.they_say(text))
        },
    },
    KnownDifference {
        name: "type-may-be-left-out",
        reason: "kube-apiserver requires apiVersion and kind for custom resources; ours sets them, as for built-in kinds",
        applies: |case| case.theirs["code"] == 400 && case.they_say("Object 'Kind' is missing"),
    },
    KnownDifference {
        name: "words-of-patches",
        reason: "for a patch that fails, the message of kube-apiserver has no cause, or quotes the whole object; ours has the object and the cause",
        applies: |case| case.of_the_patch() && case.at_status(),
    },
    KnownDifference {
        name: "repeated-causes",
        reason: "kube-apiserver validates metadata up to three times and lists each cause as often; ours lists it once",
        applies: |case| case.codes() == (422, 422) && case.have_the_same_causes(),
    },
    KnownDifference {
        name: "order-of-conflicts",
        reason: "kube-apiserver lists the conflicts of an apply in the random order of a Go map; ours sorts them",
        applies: |case| case.codes() == (409, 409) && case.they_say("Apply failed with") && case.have_the_same_causes(),
    },
    KnownDifference {
        name: "quoted-owners",
        reason: "the message quotes two controllers as JSON, with the keys in the order of the Go type in kube-apiserver and sorted in ours",
        applies: |case| {
            let text = "Only one reference can have Controller set to true";
            case.codes() == (422, 422) && case.they_say(text) && case.we_say(text) && case.at_status()
        },
    },
    KnownDifference {
        name: "dry-run-beside-a-body",
        reason: "kube-apiserver deletes the object if dryRun is in the query and options are in the body; ours makes a dry run",
        applies: |case| {
            let asked = case
                .request
                .is_some_and(|request| request.method == Method::DELETE && !matches!(request.body, Body::Empty));
            let done = matches!(case.codes(), (200, 200) | (202, 202));
            asked && case.is_dry() && done && case.difference.pointer.starts_with("/after/")
        },
    },
    KnownDifference {
        name: "owners-beside-the-untypable",
        reason: "kube-apiserver does not update managedFields if a part of the object that it discards has a wrong type; ours does",
        applies: |case| {
            matches!(case.codes(), (200, 200) | (201, 201))
                && case.difference.pointer.contains("/metadata/managedFields")
                && case.is_beside_the_untypable()
        },
    },
    KnownDifference {
        name: "dry-deletion-of-the-waiting",
        reason: "for the dry run of a delete that would remove a terminating object, kube-apiserver returns an empty object; ours returns a Status, as without dryRun",
        applies: |case| {
            let deletes = case.request.is_some_and(|request| request.method == Method::DELETE);
            let is_empty = case.theirs["body"].as_object().is_some_and(|body| body.keys().eq(["apiVersion", "kind"]));
            deletes && case.is_dry() && case.codes() == (200, 200) && is_empty
        },
    },
    KnownDifference {
        name: "fields-of-no-version",
        reason: "for a version that does not exist, kube-apiserver reports spec and status as unknown fields",
        applies: |case| {
            let version = case.subject.other_version();
            let other = format!("the API version in the data ({version}) does not match");
            let in_body = case.codes() == (400, 400) && case.we_say(&other);
            let in_patch = case.codes() == (422, 422) && case.they_say("apiVersion: Invalid value");
            let in_strict_patch = case.codes() == (422, 422)
                && case.we_say(&format!("apiVersion: Invalid value: \"{version}\""))
                && case.they_say("strict decoding error: unknown field \"spec\"");
            let strictly = case.they_say("strict decoding error: unknown field \"spec\"") && case.at("/body/message");
            let strict_patch = in_strict_patch && case.at_status();
            strict_patch || in_body && strictly || (in_body || in_patch) && case.difference.pointer == "/warning"
        },
    },
    KnownDifference {
        name: "status-of-no-version",
        reason: "for a status in a version that does not exist, kube-apiserver drops unknown fields, which is all of them; ours rejects it",
        applies: |case| {
            let is_status = case.request.is_some_and(|request| request.subresource == "/status");
            let why = format!("apiVersion: Invalid value: \"{}\"", case.subject.other_version());
            is_status && matches!(case.codes(), (422, 200 | 422)) && case.we_say(&why)
        },
    },
    KnownDifference {
        name: "owners-of-what-is-dropped",
        reason: "kube-apiserver updates managedFields before it restores a deletionTimestamp and drops duplicate owner references; ours updates them only for actual changes",
        applies: |case| {
            let of_owners = case.difference.pointer.contains("/metadata/managedFields");
            let by_that = case.at("/moved") || case.at("/changed");
            case.codes() == (200, 200) && (of_owners || by_that) && case.sets_what_is_dropped()
        },
    },
    KnownDifference {
        name: "limit-of-any-version",
        reason: "at resourceVersion=0 kube-apiserver lists all of its cache and ignores the limit; ours applies the limit and returns a continue token",
        applies: |case| {
            let asks = |wanted: &str, value: &str| {
                let found = |(name, given): &(&str, String)| *name == wanted && (value.is_empty() || given == value);
                case.request.is_some_and(|request| request.query.iter().any(found))
            };
            let of_pages =
                ["/body/items", "/body/rows", "/body/metadata/continue", "/body/metadata/remainingItemCount"];
            let is_of_pages = of_pages.contains(&case.difference.pointer.as_str());
            case.codes() == (200, 200) && asks("resourceVersion", "0") && asks("limit", "") && is_of_pages
        },
    },
    KnownDifference {
        name: "write-of-nothing",
        reason: "kube-apiserver writes an unchanged object if the order of its managedFields by time differs, or if it has stored an empty map that it does not show; ours does not",
        applies: |case| {
            let name = case.difference.pointer.strip_prefix("/after/").and_then(|rest| rest.strip_suffix("/moved"));
            let stays = |answer: &Value, name: &str| answer["after"][name]["changed"] == false;
            name.is_some_and(|name| stays(case.ours, name) && stays(case.theirs, name)) && case.theirs_is(&json!(true))
        },
    },
    KnownDifference {
        name: "number-formats",
        reason: "kube-apiserver reports twice that a number is out of the range of its format, once with the field <nil>",
        applies: |case| {
            let text = "Checked value must be of type integer with format";
            case.codes() == (422, 422) && case.they_say(text) && case.at_status()
        },
    },
    KnownDifference {
        name: "null-of-a-type",
        reason: "ours treats null as absent; kube-apiserver rejects it, even if its own merge has set it by removing the last item",
        applies: |case| {
            matches!(case.codes(), (200 | 201, 422))
                && case.they_say("in body must be of type")
                && case.they_say("\"null\"")
        },
    },
    KnownDifference {
        name: "null-among-others",
        reason: "like null-of-a-type, with other errors: kube-apiserver also reports that the null has the wrong type",
        applies: |case| {
            let (ours, mut theirs) = case.causes();
            theirs.retain(|cause| !cause.contains("in body must be of type") || !cause.contains("\\\"null\\\""));
            case.codes() == (422, 422) && case.they_say("\"null\"") && case.at_status() && ours == theirs
        },
    },
    KnownDifference {
        name: "unchecked-rules",
        reason: "kube-apiserver does not evaluate the CEL rules of a CRD if there are other errors, and reports this as a cause with the field <nil>; ours reports all errors",
        applies: |case| {
            let (ours, mut theirs) = case.causes();
            theirs.retain(|cause| !cause.contains(UNCHECKED));
            let is_all = theirs.iter().all(|cause| ours.contains(cause))
                || case.they_say("\"null\"")
                || case.they_say("integer with format");
            case.codes() == (422, 422) && case.they_say(UNCHECKED) && case.at_status() && is_all
        },
    },
    KnownDifference {
        name: "rules-of-others",
        reason: "kube-apiserver evaluates the rules of a CRD also for an object of another kind, or of a version that does not exist, whose fields it treats as absent",
        applies: |case| {
            let (ours, mut theirs) = case.causes();
            let rules = ["is immutable", "a root pool needs a block", "is only for child pools"];
            theirs.retain(|cause| !rules.iter().any(|rule| cause.contains(rule)));
            let is_other = case.they_say("apiVersion: Invalid value") || case.they_say("kind: Invalid value");
            case.codes() == (422, 422) && is_other && case.at_status() && ours == theirs
        },
    },
    KnownDifference {
        name: "rules-before-versions",
        reason: "ours rejects a create with a resourceVersion before it validates the object; kube-apiserver rejects it when it stores the object",
        applies: |case| case.codes() == (400, 422) && case.we_say("resourceVersion should not be set on objects"),
    },
    KnownDifference {
        name: "paths-in-a-status",
        reason: "for a value of a wrong type in a status, kube-apiserver gives the path twice, the second time without `status`",
        applies: |case| {
            let within = |value: &Option<Value>| {
                let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
                text.contains(" in body must be of type").then(|| text.replace("\": status.", "\": "))
            };
            let ours = within(&case.difference.ours);
            case.codes() == (422, 422) && case.at_status() && ours.is_some() && ours == within(&case.difference.theirs)
        },
    },
    KnownDifference {
        name: "first-time-of-an-owner",
        reason: "a manager that applied only existing values has no time; kube-apiserver adds one with the next apply of a status that has metadata, although nothing else changes; ours writes nothing",
        applies: |case| {
            let (at_time, by_that) = (case.at("/time"), case.at("/moved") || case.at("/changed"));
            let of_owners = case.difference.pointer.contains("/metadata/managedFields/");
            let adds_time = at_time && of_owners && case.difference.ours.is_none();
            case.codes() == (200, 200) && case.applies_status() && case.adds_a_time() && (adds_time || by_that)
        },
    },
    KnownDifference {
        name: "unowned-in-a-status",
        reason: "if a manager no longer applies a part of a status, kube-apiserver also removes unowned fields next to it; ours keeps them, because no manager owns what the service writes",
        applies: |case| {
            let stays = case.difference.ours.is_some() && case.difference.theirs.is_none();
            let of_status = case.difference.pointer.contains("/body/status/");
            case.codes() == (200, 200) && case.applies_status() && stays && of_status
        },
    },
    KnownDifference {
        name: "list-as-patch",
        reason: "kube-apiserver accepts a list as a merge patch if fieldValidation is Ignore, and then rejects the result, which is not an object; ours always rejects it",
        applies: |case| {
            case.codes() == (400, 422)
                && case.we_say("it must be a JSON object")
                && case.they_say("couldn't get version/kind")
        },
    },
    KnownDifference {
        name: "column-of-names",
        reason: "the description of the name column is specific to the kind in ours, and generic in kube-apiserver",
        applies: |case| case.at("/columnDefinitions/0/description"),
    },
    KnownDifference {
        name: "method-of-collection",
        reason: "for a method that the path does not have, kube-apiserver reads the body or requires a name before it answers 405",
        applies: |case| case.codes() == (405, 400) && case.they_say("name must be provided"),
    },
];

/// Returns the reasons of all explanations, by name.
pub fn reasons() -> BTreeMap<&'static str, &'static str> {
    let of_kinds = access::KNOWN_DIFFERENCES.iter().chain(pools::KNOWN_DIFFERENCES);
    KNOWN_DIFFERENCES.iter().chain(of_kinds).map(|explanation| (explanation.name, explanation.reason)).collect()
}
