//! The intended differences for roles, bindings and access reviews.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::{Case, KnownDifference};
use crate::request::{Body, Request};

/// The message of kube-apiserver for a user who grants permissions that they do not have.
const ESCALATION: &str = "is attempting to grant RBAC permissions";

pub(super) const KNOWN_DIFFERENCES: &[KnownDifference] = &[
    KnownDifference {
        name: "owners-of-reviews",
        reason: "kube-apiserver sets managedFields in a review, which is not stored",
        applies: |case| {
            let is_review = case.ours["body"]["kind"] == "SelfSubjectAccessReview";
            is_review && case.difference.pointer == "/body/metadata/managedFields"
        },
    },
    KnownDifference {
        name: "reasons-of-reviews",
        reason: "kube-apiserver names the binding that allows a request; ours gives a reason only for system:masters; no client depends on it",
        applies: |case| case.same_codes() && case.difference.pointer == "/body/status/reason",
    },
    KnownDifference {
        name: "no-create-by-put",
        reason: "in Kubernetes a PUT creates absent objects of some built-in kinds, such as roles and bindings; in ours it does not, as for custom resources: kubectl and controllers create with POST or apply",
        applies: |case| {
            let Some(request) = case.request.filter(|request| request.method == Method::PUT) else { return false };
            let absent = format!("\"{}\" not found", request.name.as_deref().unwrap_or_default());
            case.codes().0 == 404 && case.codes().1 != 200 && case.we_say(&absent)
        },
    },
    KnownDifference {
        name: "missing-role",
        reason: "if a bound role does not exist, ours names the role; kube-apiserver names a binding of that name",
        applies: |case| {
            let is_of_role = ["clusterroles", "roles"].iter().any(|kind| case.ours["body"]["details"]["kind"] == *kind);
            case.codes() == (404, 404) && case.at_status() && is_of_role && case.they_say("bindings.rbac")
        },
    },
    KnownDifference {
        name: "words-of-faults",
        reason: "ours reports that a rule needs verbs and that a roleRef cannot change, as Kubernetes did up to 1.36; since then it reports only that a field is required or immutable, and quotes Go",
        applies: |case| {
            let (ours, theirs) = case.causes();
            let ours: BTreeSet<_> = ours.iter().map(|cause| words_of_faults(cause)).collect();
            let theirs: BTreeSet<_> = theirs.iter().map(|cause| words_of_faults(cause)).collect();
            case.codes() == (422, 422) && case.at_status() && ours == theirs
        },
    },
    KnownDifference {
        name: "faults-before-rights",
        reason: "kube-apiserver checks whether a user may grant the permissions of an object before it validates the object, its name and its version; ours checks afterwards",
        applies: |case| {
            let of_rights = [
                ESCALATION,
                "must have cluster-admin privileges to use the aggregationRule",
                "bindings.rbac.authorization.k8s.io \"",
                "Name parameter ",
                "Namespace parameter required",
                "unsupported role reference kind",
            ];
            matches!(case.codes(), (422 | 409 | 400, 400 | 403 | 404 | 500))
                && of_rights.iter().any(|text| case.they_say(text))
        },
    },
    KnownDifference {
        name: "name-before-faults",
        reason: "for roles and bindings, ours checks whether the name exists before it validates the rules or the subjects",
        applies: |case| case.codes() == (409, 422) && case.we_say("already exists") && case.they_say("rbac"),
    },
    KnownDifference {
        name: "unresolved-roles",
        reason: "kube-apiserver appends the bound roles that do not exist to the message of a 403; ours does not disclose roles that the caller may not read",
        applies: |case| {
            let rest = case.rest_of_their_message();
            let ends = [": rbac: RBAC: ", ": RBAC: ", "; resolution errors: ["];
            case.codes() == (403, 403) && rest.is_some_and(|rest| ends.iter().any(|end| rest.starts_with(end)))
        },
    },
    KnownDifference {
        name: "repeated-verbs",
        reason: "in the list of permissions that a user does not have, kube-apiserver repeats a verb for each rule that contains it; ours does not",
        applies: |case| {
            case.codes() == (403, 403)
                && case.they_say(ESCALATION)
                && case.at("/body/message")
                && case.says_verbs_once()
        },
    },
    KnownDifference {
        name: "typed-items",
        reason: "the items of a list of built-in kinds have no apiVersion and kind; in ours they have, like those of custom resources",
        applies: |case| {
            let is_item = case.difference.pointer.starts_with("/body/items/") && case.difference.theirs.is_none();
            is_item && (case.at("/apiVersion") || case.at("/kind"))
        },
    },
    KnownDifference {
        name: "columns-of-bindings",
        reason: "kube-apiserver describes the columns of roles and bindings with the documentation of its fields, and the type of an age is string",
        applies: |case| {
            let is_age =
                case.at("/type") && case.theirs_is(&json!("string")) && case.difference.ours == Some(json!("date"));
            let of_columns = case.difference.pointer.starts_with("/body/columnDefinitions/");
            of_columns && case.codes() == (200, 200) && (case.at("/description") || is_age)
        },
    },
    KnownDifference {
        name: "no-aggregation",
        reason: "ours rejects a cluster role with an aggregationRule, because it has no controller that sets the rules",
        applies: |case| case.codes().0 == 422 && case.we_say("aggregation is not supported"),
    },
    KnownDifference {
        name: "types-of-go",
        reason: "for a value of a wrong type in a built-in kind, kube-apiserver answers 400 with the Go field; ours reports all errors, as for custom resources",
        applies: |case| {
            let in_patch = case.codes() == (422, 422)
                && case.at_status()
                && (case.they_say("into Go struct field") || case.they_say("cannot restore s"));
            in_patch || matches!(case.codes(), (422 | 409, 400)) && case.they_say("cannot be handled as a")
        },
    },
    KnownDifference {
        name: "empty-rules",
        reason: "a role without rules has an empty list in ours and null in kube-apiserver: a JSON patch cannot add to null, it differs from an empty list, and no manager owns it",
        applies: |case| {
            let Some(Request { body: Body::Json(body), .. }) = case.request else { return false };
            let is_of_rule =
                |operation: &Value| operation["path"].as_str().is_some_and(|path| path.starts_with("/rules/"));
            let adds = body.as_array().is_some_and(|operations| operations.iter().any(is_of_rule));
            let (ours, theirs) = case.causes();
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                these.iter().filter(|cause| !those.contains(cause)).cloned().collect()
            };
            let (only_ours, only_theirs) = (only(&ours, &theirs), only(&theirs, &ours));
            let of_rules =
                |causes: &[String]| !causes.is_empty() && causes.iter().all(|cause| cause.contains("\".rules\""));
            match case.codes() {
                (200 | 403, 422) => {
                    adds && case.they_say("the server rejected our request due to an error in our request")
                }
                (200, 409) => body["rules"] == json!([]) && of_rules(&theirs),
                (422, 409) => of_rules(&theirs),
                (409, 200 | 422) => of_rules(&only_ours),
                (200, 200) if case.difference.theirs.is_none() => case.owners_have_rules_alone(),
                (200, 200) => body["rules"] == json!([]) && case.at("/time") && case.difference.ours.is_none(),
                (409, 409) => case.at_status() && of_rules(&[only_ours, only_theirs].concat()),
                _ => false,
            }
        },
    },
    KnownDifference {
        name: "nothing-given",
        reason: "an update of a role or a binding that changes nothing grants nothing; kube-apiserver also compares fields that the body cannot contain, such as the resourceVersion",
        applies: |case| {
            let name = case.request.and_then(|request| request.name.as_deref()).unwrap_or_default();
            let is_same = case.ours["after"][name]["changed"] == false;
            let of_rights = case.they_say(ESCALATION) || case.they_say("bindings.rbac.authorization.k8s.io \"");
            matches!(case.codes(), (200, 403 | 404)) && is_same && of_rights
        },
    },
];

impl Case<'_> {
    /// True if the difference is entries of managedFields that own only the rules.
    fn owners_have_rules_alone(&self) -> bool {
        let owners = self.difference.ours.as_ref().and_then(Value::as_object).filter(|_| self.at("/managedFields"));
        let has_rules_alone = |owner: &Value| owner["fieldsV1"] == json!({"f:rules": {}});
        owners.is_some_and(|owners| owners.values().all(has_rules_alone))
    }

    /// Returns the part of the message of kube-apiserver after our whole message, if it starts with that.
    fn rest_of_their_message(&self) -> Option<&str> {
        let [ours, theirs] = [self.ours, self.theirs].map(|answer| answer["body"]["message"].as_str());
        theirs?.strip_prefix(ours?)
    }

    /// True if the messages are equal apart from repeated verbs in that of kube-apiserver.
    fn says_verbs_once(&self) -> bool {
        let [ours, theirs] =
            [self.ours, self.theirs].map(|answer| answer["body"]["message"].as_str().unwrap_or_default());
        let theirs = theirs.split_once("; resolution errors: ").map_or(theirs, |(theirs, _)| theirs);
        let once = |line: &str| {
            let Some((thing, verbs)) = line.split_once("Verbs:[") else { return line.to_owned() };
            let mut seen = BTreeSet::new();
            let verbs = verbs.trim_end_matches("]}").split(' ').filter(|verb| seen.insert(*verb));
            format!("{thing}Verbs:[{}]}}", verbs.collect::<Vec<_>>().join(" "))
        };
        ours.lines().eq(theirs.lines().map(once))
    }
}

/// Returns a cause with the messages of Kubernetes 1.37, without a quoted roleRef.
fn words_of_faults(cause: &str) -> String {
    let cause = cause
        .replace(": verbs must contain at least one value", "")
        .replace("cannot change roleRef", "field is immutable");
    match (cause.find("Invalid value: "), cause.find(": field is immutable")) {
        (Some(start), Some(end)) => format!("{}{}", &cause[..start], &cause[end..]),
        _ => cause,
    }
}
