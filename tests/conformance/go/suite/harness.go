// Package suite checks a running ipam server through client-go. It is written for the oldest tested client-go; the other modules in
// this directory each run it with one version.
package suite

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	// checkSeconds is the timeout of a check.
	checkSeconds = 120
	// Soon is the timeout of an expected state or event.
	Soon = 20 * time.Second
)

// Suite counts the checks of one program.
type Suite struct {
	Name                    string
	passed, failed, skipped int
	began                   time.Time
}

// T is a running check. Fatal methods mark the check as failed and end the calling goroutine.
type T struct {
	Ctx     context.Context
	lock    sync.Mutex
	faults  []string
	skipped string
}

// Check is a check and its name.
type Check struct {
	Name string
	Run  func(*T)
}

// Open starts a suite.
func Open(name string) *Suite { return &Suite{Name: name, began: time.Now()} }

// Run runs one check and prints its TAP line.
func (s *Suite) Run(check Check) {
	ctx, cancel := context.WithTimeout(context.Background(), checkSeconds*time.Second)
	defer cancel()
	t := &T{Ctx: ctx}
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if fault := recover(); fault != nil {
				t.Errorf("panic: %v", fault)
			}
		}()
		check.Run(t)
	}()
	select {
	case <-done:
	case <-time.After((checkSeconds + 10) * time.Second):
		t = &T{faults: []string{"the check did not end"}}
	}
	number := s.passed + s.failed + s.skipped + 1
	spent := time.Since(began).Round(10 * time.Millisecond)
	switch {
	case len(t.faults) > 0:
		s.failed++
		fmt.Printf("not ok %d - %s (%s)\n", number, check.Name, spent)
		for _, fault := range t.faults {
			fmt.Printf("#   %s\n", strings.ReplaceAll(fault, "\n", "\n#   "))
		}
	case t.skipped != "":
		s.skipped++
		fmt.Printf("ok %d - %s # SKIP: %s\n", number, check.Name, t.skipped)
	default:
		s.passed++
		fmt.Printf("ok %d - %s (%s)\n", number, check.Name, spent)
	}
}

// Close prints the summary, and exits with 1 if a check failed.
func (s *Suite) Close() {
	fmt.Printf("# %s: %d passed, %d failed, %d skipped (%d s)\n", s.Name, s.passed, s.failed, s.skipped, int(time.Since(s.began).Seconds()))
	if s.failed > 0 {
		os.Exit(1)
	}
}

// Fatalf marks the check as failed and ends the goroutine.
func (t *T) Fatalf(format string, arguments ...any) {
	t.Errorf(format, arguments...)
	runtime.Goexit()
}

// Errorf marks the check as failed and continues.
func (t *T) Errorf(format string, arguments ...any) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.faults = append(t.faults, fmt.Sprintf(format, arguments...))
}

// Skip ends the check as skipped.
func (t *T) Skip(reason string) {
	t.skipped = reason
	runtime.Goexit()
}

// NoError ends the check as failed if there is an error.
func (t *T) NoError(err error, doing string) {
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// Equal compares the printed forms of two values.
func (t *T) Equal(got, wanted any, what string) {
	if g, w := fmt.Sprint(got), fmt.Sprint(wanted); g != w {
		t.Errorf("%s\ngot:    %s\nwanted: %s", what, g, w)
	}
}

// Eventually waits until the condition returns an empty text; any other text is the reason to wait.
func (t *T) Eventually(what string, condition func() string) {
	deadline := time.Now().Add(Soon)
	for {
		wrong := condition()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %s", what, Soon, wrong)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
