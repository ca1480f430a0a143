// The suite through client-go v0.26.15.
package main

import "conformance/suite"

func main() { suite.Main() }
