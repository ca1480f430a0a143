//! The differences that are meant, each with its reason.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compare::Difference;

/// Where two answers differ, with all that is around it.
pub struct Case<'a> {
    /// All that our server answered.
    pub ours: &'a Value,
    /// All that kube-apiserver answered.
    pub theirs: &'a Value,
    /// The difference.
    pub difference: &'a Difference,
}

/// A difference that is meant.
pub struct Explanation {
    /// Its name in the closing line.
    pub name: &'static str,
    /// Why it is so.
    pub reason: &'static str,
    applies: fn(&Case<'_>) -> bool,
}

/// The explanation of a difference, if there is one.
pub fn explain(case: &Case<'_>) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| (explanation.applies)(case))
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

    fn theirs_is(&self, value: &Value) -> bool {
        self.difference.theirs.as_ref() == Some(value)
    }
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        name: "version-on-create",
        reason: "kube-apiserver answers 500 to a create with a resourceVersion; ours is a 400, which says whose fault it is",
        applies: |case| {
            case.codes() == (400, 500) && case.they_say("resourceVersion should not be set on objects to be created")
        },
    },
    Explanation {
        name: "malformed-version",
        reason: "kube-apiserver answers 500 to a resourceVersion that is no number; ours is the client's fault: 400 or 409",
        applies: |case| matches!(case.codes(), (400 | 409, 500)) && case.they_say("strconv.ParseUint"),
    },
    Explanation {
        name: "untypable-apply",
        reason: "kube-apiserver answers 500 to an applied object that its schema cannot type; ours is a 400",
        applies: |case| case.codes() == (400, 500) && case.they_say("failed to create typed patch object"),
    },
    Explanation {
        name: "empty-continue",
        reason: "lists of custom resources have an empty `continue`; ours leaves it out, as lists of built-in kinds do",
        applies: |case| case.at("/metadata/continue") && case.difference.ours.is_none() && case.theirs_is(&json!("")),
    },
    Explanation {
        name: "no-null-lists",
        reason: "where kube-apiserver has `items: null` or `rows: null`, ours is an empty list, which every client can read",
        applies: |case| case.difference.ours == Some(json!([])) && case.theirs_is(&Value::Null),
    },
    Explanation {
        name: "accepted-types",
        reason: "the message lists what a server accepts, and kube-apiserver has protobuf and the shape of Go types in it",
        applies: |case| matches!(case.codes(), (406, 406) | (415, 415)) && case.at("/body/message"),
    },
    Explanation {
        name: "negotiation-first",
        reason: "ours finds out what form the answer can have before anything else, and so never answers 500 to that",
        applies: |case| matches!(case.codes(), (406, 400 | 404 | 422 | 500)),
    },
    Explanation {
        name: "words-of-go",
        reason: "the message quotes Go: its parsers, its types, its files",
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
    Explanation {
        name: "words-of-selectors",
        reason: "what is wrong with a selector is said in other words; the code and the reason are the same",
        applies: |case| {
            let words = ["unable to parse requirement", "invalid selector", "found '", "field label not supported"];
            case.codes() == (400, 400) && case.at("/body/message") && words.iter().any(|text| case.they_say(text))
        },
    },
    Explanation {
        name: "type-may-be-left-out",
        reason: "kube-apiserver insists on apiVersion and kind for custom resources; ours fills them in, as for built-in kinds",
        applies: |case| {
            case.theirs["code"] == 400
                && (case.they_say("Object 'Kind' is missing") || case.they_say("must be of type"))
        },
    },
    Explanation {
        name: "patch-details",
        reason: "of a JSON patch that fails kube-apiserver says only that it does; ours names the operation, with details",
        applies: |case| {
            case.codes() == (422, 422)
                && case.they_say("the server rejected our request due to an error in our request")
        },
    },
    Explanation {
        name: "number-formats",
        reason: "kube-apiserver says twice that a number is out of its format, once on a field called <nil>",
        applies: |case| {
            case.codes() == (422, 422) && case.they_say("Checked value must be of type integer with format")
        },
    },
    Explanation {
        name: "null-in-free-form",
        reason: "null is as good as absent everywhere in ours; kube-apiserver keeps it where the schema keeps unknown fields",
        applies: |case| {
            let pointer = &case.difference.pointer;
            let kept = pointer.contains("/spec/free/") && case.theirs_is(&Value::Null);
            case.difference.ours.is_none() && (kept || pointer.contains("/f:free/"))
        },
    },
    Explanation {
        name: "null-of-a-type",
        reason: "null is as good as absent in ours; kube-apiserver refuses it, even where its own merge has put it by taking the last item away",
        applies: |case| {
            matches!(case.codes(), (200 | 201, 422))
                && case.they_say("in body must be of type")
                && case.they_say("\"null\"")
        },
    },
    Explanation {
        name: "name-may-be-left-out",
        reason: "the URL names the object: ours does not insist that the body repeats it",
        applies: |case| case.theirs["code"] == 400 && case.they_say("undeterminable: name must be provided"),
    },
    Explanation {
        name: "options-first",
        reason: "of a request with several faults ours names another one than kube-apiserver, which looks at the options first",
        applies: |case| case.codes() == (400, 422) && case.they_say("Options.meta.k8s.io"),
    },
    Explanation {
        name: "time-of-co-owner",
        reason: "kube-apiserver forgets the time of an applier that changes nothing but comes to own; ours tells it",
        applies: |case| {
            case.at("/time")
                && case.difference.pointer.contains("/managedFields/Apply")
                && case.difference.theirs.is_none()
        },
    },
    Explanation {
        name: "method-of-collection",
        reason: "kube-apiserver reads the body or asks for a name before it says 405 of a method that the path does not have",
        applies: |case| case.codes() == (405, 400),
    },
    Explanation {
        name: "negative-limit",
        reason: "kube-apiserver takes a negative limit for none; ours refuses it",
        applies: |case| case.codes() == (400, 200) && case.we_say("limit="),
    },
];

/// The reason of each explanation, by name.
pub fn reasons() -> BTreeMap<&'static str, &'static str> {
    EXPLANATIONS.iter().map(|explanation| (explanation.name, explanation.reason)).collect()
}
