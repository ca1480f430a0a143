module conformance/recorder

go 1.22
