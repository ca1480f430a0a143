// The suite through client-go v0.34.13.
package main

import "conformance/suite"

func main() { suite.Main() }
