// The suite through client-go v0.37.2.
package main

import "conformance/suite"

func main() { suite.Main() }
