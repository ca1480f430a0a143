// The suite through client-go v0.30.14.
package main

import "conformance/suite"

func main() { suite.Main() }
