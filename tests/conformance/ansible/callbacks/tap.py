"""Prints a TAP line for each task, or for each item of a loop, and a summary."""

import time

from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

DOCUMENTATION = """
name: tap
type: stdout
short_description: prints a TAP line for each task or item, and a summary
description:
  - A task that fails, or cannot run, is a failed check.
"""


class CallbackModule(CallbackBase):
    """Counts checks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tap"

    def __init__(self):
        super().__init__()
        self.began = time.time()
        self.counts = {"passed": 0, "failed": 0}

    def check(self, result, passed):
        """Prints the line of a check."""
        self.counts["passed" if passed else "failed"] += 1
        name = result.task.get_name()
        label = result.result.get("_ansible_item_label")
        verdict = "ok" if passed else "not ok"
        self.say(f"{verdict} {sum(self.counts.values())} - {name if label is None else f'{name}: {label}'}")
        if not passed:
            # The whole result, because the checks are about the errors that a playbook gets.
            self.say("#   " + self._dump_results(result.result, indent=None)[:3000])

    def say(self, text):
        """Prints without buffering."""
        print(text, flush=True)

    def v2_runner_on_ok(self, result):
        if "results" not in result.result:
            self.check(result, True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if "results" not in result.result:
            self.check(result, False)

    def v2_runner_on_unreachable(self, result):
        self.check(result, False)

    def v2_runner_item_on_ok(self, result):
        self.check(result, True)

    def v2_runner_item_on_failed(self, result):
        self.check(result, False)

    def v2_playbook_on_stats(self, stats):
        seconds = int(time.time() - self.began)
        passed, failed = self.counts["passed"], self.counts["failed"]
        self.say(f"# ansible-core {__version__}: {passed} passed, {failed} failed, 0 skipped ({seconds} s)")
