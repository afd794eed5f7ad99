"""Runs the end-to-end tests of this folder and adds their count to $MR_TEST_TALLY."""
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import harness  # noqa: E402


class Result(unittest.TextTestResult):
    """Counts and times; prints a line per test that failed, was skipped or was slow."""

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def stopTest(self, test):
        spent = time.monotonic() - self.started
        if spent > 5:
            print(f"  {spent:5.1f} s  {test.id()}", flush=True)
        super().stopTest(test)


def selected(suite, words):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from selected(item, words)
        elif not words or any(word in item.id() for word in words):
            yield item


def main():
    loaded = unittest.defaultTestLoader.discover(HERE, pattern="*_test.py")
    suite = unittest.TestSuite(selected(loaded, sys.argv[1:]))
    started = time.monotonic()
    result = unittest.TextTestRunner(resultclass=Result, verbosity=0).run(suite)
    failed = len({test.id().split(" (")[0] for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"e2e: {passed} passed, {failed} failed, {skipped} skipped "
          f"in {time.monotonic() - started:.0f} s")
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    if tally := os.environ.get("MR_TEST_TALLY"):
        with open(tally, "a", encoding="utf-8") as file:
            which = "; ".join(f"{test.id()} ({reason})" for test, reason in result.skipped)
            file.write(f"e2e {passed} passed {failed} failed {skipped} skipped"
                       + (f": {which}" if which else "") + "\n")
    harness.clean()
    return 0 if failed == 0 and result.testsRun > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
