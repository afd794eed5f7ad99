"""Jobs that survive: the same command on the same state directory, killed, stopped, taken over, moved."""
import os
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import HEADER, JANUARY, Case


def rows(path):
    with open(path, encoding="utf-8") as file:
        return sorted(file.read().splitlines()[1:])


class Survival(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = harness.folder()
        cls.expected = os.path.join(cls.folder, "expected.csv")
        done = harness.run("flights", "--input", JANUARY, "--output", cls.expected)
        assert done.returncode == 0, done.stderr

    def job(self, output, *more):
        return ("--input", JANUARY, "--output", output, "--state-dir", self.path("state"),
                "--epoch=20ms", *more)

    def begin(self, output, *more, seconds=0.8, ending=signal.SIGKILL, rate=9000):
        """Runs the job slowly for a while, then ends it by a signal."""
        process = harness.start("flights", *self.job(output, f"--rate={rate}", *more))
        time.sleep(seconds)
        process.send_signal(ending)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err.decode()

    def test_killed_and_begun_again_until_it_is_done(self):
        output = self.path("hours.csv")
        for workers in (1, 2, 4):
            code, _, err = self.begin(output, f"--workers={workers}")
            self.assertEqual(code, -signal.SIGKILL, err)
            self.assertFalse(os.path.exists(output))
        done = harness.run("flights", *self.job(output))
        self.ends_with(0, done, "resumed")
        self.assertEqual(rows(output), rows(self.expected))
        self.assertEqual(os.listdir(os.path.dirname(output)).count("hours.csv"), 1)
        leftovers = [name for name in os.listdir(os.path.dirname(output)) if name.startswith(".")]
        self.assertEqual(leftovers, [])

    def test_a_finished_job_says_so_and_changes_nothing(self):
        output = self.path("hours.csv")
        self.ends_with(0, harness.run("flights", *self.job(output)))
        before = os.stat(output)
        done = harness.run("flights", *self.job(output))
        self.ends_with(0, done, "finished", "--fresh")
        after = os.stat(output)
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))

    def test_fresh_is_refused_beside_committed_output_and_then_starts_anew(self):
        output = self.path("hours.csv")
        self.ends_with(0, harness.run("flights", *self.job(output)))
        self.ends_with(1, harness.run("flights", *self.job(output, "--fresh")), "--fresh", output)
        os.remove(output)
        self.ends_with(0, harness.run("flights", *self.job(output, "--fresh")))
        self.assertEqual(rows(output), rows(self.expected))

    def test_ctrl_c_completes_an_epoch_and_ends_with_3(self):
        output = self.path("hours.csv")
        code, _, err = self.begin(output, ending=signal.SIGINT)
        self.assertEqual(code, 3, err)
        self.assertIn("stopped early", err)
        self.ends_with(0, harness.run("flights", *self.job(output)), "resumed")
        self.assertEqual(rows(output), rows(self.expected))

    def test_a_directory_of_parts_holds_each_row_once(self):
        output = self.path("parts/")
        for workers in (2, 1):
            self.begin(output, f"--workers={workers}", "--roll=200ms")
        self.ends_with(0, harness.run("flights", *self.job(output, "--roll=200ms")))
        names = sorted(os.listdir(output))
        self.assertIn("_SUCCESS", names)
        self.assertEqual([name for name in names if name.startswith(".")], [])
        got = [row for name in names if name.startswith("part-")
               for row in rows(os.path.join(output, name))]
        self.assertEqual(sorted(got), rows(self.expected))

    def test_micro_batches_give_the_same(self):
        output = self.path("hours.csv")
        self.begin(output, "--commit=micro-batch")
        self.ends_with(0, harness.run("flights", *self.job(output, "--commit=micro-batch")))
        self.assertEqual(rows(output), rows(self.expected))

    def test_a_second_process_is_refused_with_the_number_of_the_first(self):
        output = self.path("hours.csv")
        first = harness.start("flights", *self.job(output, "--rate=3000"))
        try:
            harness.wait_until(lambda: os.path.exists(self.path("state/META")))
            first.send_signal(signal.SIGSTOP)
            self.ends_with(1, harness.run("flights", *self.job(output)), str(first.pid), "--takeover")
            done = harness.run("flights", *self.job(output, "--takeover"))
            self.ends_with(0, done, str(first.pid))
            self.assertEqual(first.wait(10), -signal.SIGKILL)
        finally:
            if first.poll() is None:
                first.kill()
            first.communicate()
        self.assertEqual(rows(output), rows(self.expected))

    def test_another_pipeline_is_refused_with_both_lists(self):
        output = self.path("hours.csv")
        self.begin(output)
        done = harness.run("rotations", *self.job(output))
        self.ends_with(1, done, "another pipeline", "stored:", "this pipeline:", "aggregate-1")

    def test_state_that_is_dropped_is_named_and_does_not_come_back(self):
        output = self.path("hours.csv")
        self.begin(output, "--sorted")
        self.ends_with(1, harness.run("flights", *self.job(output)), "another pipeline", "! top-1")
        process = harness.start("flights", *self.job(output, "--allow-dropped-state", "--rate=9000"))
        harness.wait_until(lambda: os.path.getsize(self.path("state/CRASH")) and
                           any(name.startswith(".hours") for name in os.listdir(self.path("."))))
        time.sleep(0.4)
        process.kill()
        _, err = process.communicate()
        self.assertIn("the state of 'top-1' is left out", err.decode())
        done = harness.run("flights", *self.job(output))  # the flag is not needed any more
        self.ends_with(0, done, "resumed")
        self.assertNotIn("left out", done.stderr)

    def test_changed_input_is_refused_by_name(self):
        data = self.path("in.csv")
        with open(data, "wb") as file:
            file.write(harness.gzip.open(JANUARY).read())
        arguments = ("--input", data, "--output", self.path("out.csv"), "--state-dir",
                     self.path("state"), "--epoch=20ms")
        process = harness.start("flights", *arguments, "--rate=9000")
        time.sleep(0.8)
        process.kill()
        process.communicate()
        with open(data, "ab") as file:
            file.write(b"\n")
        self.ends_with(1, harness.run("flights", *arguments), data)
        self.assertFalse(os.path.exists(self.path("out.csv")))

    def test_a_savepoint_starts_another_directory_with_other_workers(self):
        output = self.path("hours.csv")
        process = harness.start("flights", *self.job(output, "--rate=9000", "--workers=2"))
        time.sleep(0.8)
        self.good("millrace", "stop", self.path("state"), "--savepoint", self.path("point"))
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 3, err)
        shutil.rmtree(self.path("state"))
        done = harness.run("flights", *self.job(output, "--from", self.path("point"), "--workers=3"))
        self.ends_with(0, done)
        self.assertEqual(rows(output), rows(self.expected))

    def test_the_same_command_goes_on_when_the_savepoint_is_gone(self):
        first = self.path("first")
        self.begin(self.path("other.csv"), "--state-dir", first)
        self.good("millrace", "state", "export", first, "--savepoint", self.path("point"))
        more = ("--from", self.path("point"))
        code, _, err = self.begin(self.path("other.csv"), *more)
        self.assertEqual(code, -signal.SIGKILL, err)
        shutil.rmtree(self.path("point"))
        done = harness.run("flights", *self.job(self.path("other.csv"), *more))
        self.ends_with(0, done, "resumed")
        self.assertEqual(rows(self.path("other.csv")), rows(self.expected))

    def test_draining_commits_what_was_read(self):
        output = self.path("hours.csv")
        process = harness.start("flights", *self.job(output, "--rate=9000"))
        time.sleep(0.8)
        self.good("millrace", "stop", self.path("state"), "--drain")
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        got = sum(int(row.split(",")[3]) for row in rows(output))
        self.assertGreater(got, 0)
        self.assertIn(f"{got:,} rows in", err.decode())

    def test_bytes_of_state_that_were_changed_are_refused(self):
        output = self.path("hours.csv")
        self.begin(output)
        name = next(name for name in os.listdir(self.path("state")) if name.startswith("manifest-"))
        with open(os.path.join(self.path("state"), name), "r+b") as file:
            file.seek(40)
            byte = file.read(1)
            file.seek(40)
            file.write(bytes([byte[0] ^ 1]))
        self.ends_with(1, harness.run("flights", *self.job(output)), name)
        self.assertFalse(os.path.exists(output))


class Promises(Case):
    def test_what_cannot_be_kept_is_refused_or_said(self):
        data = self.path("in.csv")
        harness.write(data, HEADER + "2013-01-01T05:00:00Z,EWR,517,2\n")
        state = ("--state-dir", self.path("state"))
        self.ends_with(1, harness.run("flights", "--input", data, "--guarantee=exactly-once"),
                       "--state-dir")
        self.ends_with(1, harness.run("flights", "--input", data, *state,
                                      "--guarantee=exactly-once"), "sink-1")
        self.ends_with(0, harness.run("flights", "--input", data, *state), "at-least-once")
        self.ends_with(1, harness.run("flights", "--input", "-", *state, "--output", self.path("o.csv"),
                                      stdin=HEADER.encode()), "second time")
        self.ends_with(1, harness.run("flights", "--input", data, *state, "--mode=batch"), "batch")
        self.ends_with(1, harness.run("flights", "--input", data, *state,
                                      "--guarantee=at-most-once"), "--state-dir")
        self.ends_with(2, harness.run("flights", "--input", data, "--epoch=1s"), "--state-dir")
        self.ends_with(2, harness.run("flights", "--input", data, *state, "--roll=often"), "--roll")


class Functions(Case):
    """Functions of the user that fail or crash the process."""

    @classmethod
    def setUpClass(cls):
        source = os.path.join(harness.ROOT, "test/e2e/poison.c")
        library = os.environ.get("MR_E2E_LIBRARY",
                                 os.path.join(harness.ROOT, "build/release/libmillrace.a"))
        cls.program = os.path.join(harness.folder(), "poison")
        flags = ["-lxxhash", "-lzstd", "-lisal", "-lstdc++", "-lm", "-lpthread"]
        subprocess.run(["cc", "-I", os.path.join(harness.ROOT, "include"), source, library, *flags,
                        "-o", cls.program], check=True)

    def command(self, source, *more):
        return [self.program, "--input", source, "--output", self.path("out.csv"), "--state-dir",
                self.path("state"), "--epoch=5ms", *more]

    def copy(self, source, *more):
        return subprocess.run(self.command(source, *more), capture_output=True, text=True,
                              check=False, timeout=60)

    def begin(self, source, *more, seconds=1.0, ending=signal.SIGKILL):
        with subprocess.Popen(self.command(source, *more), stderr=subprocess.PIPE, text=True) as job:
            time.sleep(seconds)
            job.send_signal(ending)
            err = job.communicate(timeout=60)[1]
        return job.returncode, err

    def find_poison(self, lines):
        """Until the record that crashes is found: the default policy fails, with its place."""
        harness.write(self.path("in.txt"), "\n".join(lines) + "\n")
        for _ in range(30):
            done = self.copy(self.path("in.txt"), "--quiet")
            if done.returncode != -signal.SIGABRT:
                break
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"in.txt:{lines.index('poison') + 1}", done.stderr)
        return self.path("in.txt")

    def test_the_record_that_crashes_is_found_and_left_out(self):
        lines = [f"line {n}" for n in range(3000)]
        lines[1234] = "poison"
        source = self.find_poison(lines)
        done = self.copy(source, "--on-error=skip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows(self.path("out.csv")), sorted(l for l in lines if l != "poison"))

    def test_a_stop_after_the_record_was_left_out_costs_no_other_one(self):
        lines = [f"line {n}" for n in range(3000)]
        lines[1234] = "poison"
        source = self.find_poison(lines)
        code, err = self.begin(source, "--on-error=skip", "--rate=500", ending=signal.SIGTERM)
        self.assertEqual(code, 3, err)
        self.assertIn("1 rejected", err)
        done = self.copy(source, "--on-error=skip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows(self.path("out.csv")), sorted(l for l in lines if l != "poison"))

    def test_a_function_that_fails_once_is_survived_with_restarts(self):
        lines = [f"line {n}" for n in range(50000)] + ["flaky"]
        source = harness.write(self.path("in.txt"), "\n".join(lines) + "\n")
        done = self.copy(source, "--restarts=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 of 1 restarts", done.stderr)
        self.assertEqual(rows(self.path("out.csv")), sorted(lines))

    def uneven_files(self):
        """One long file, so that readers are far apart when the job is killed."""
        os.mkdir(self.path("in"))
        lines = [f"line {n}" for n in range(100000)]
        cuts = [0, 50000, *range(52000, 100001, 2000)]
        for n, (first, end) in enumerate(zip(cuts, cuts[1:])):
            harness.write(self.path(f"in/{n:02}.txt"), "\n".join(lines[first:end]) + "\n")
        return lines

    def test_a_job_goes_on_in_micro_batches_with_fewer_workers(self):
        lines = self.uneven_files()
        self.begin(self.path("in"), "--workers=4", "--rate=50000")
        done = self.copy(self.path("in"), "--workers=1", "--commit=micro-batch")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows(self.path("out.csv")), sorted(lines))

    def test_micro_batches_of_input_that_ends_do_not_wait_for_a_long_epoch(self):
        lines = self.uneven_files()
        done = self.copy(self.path("in"), "--commit=micro-batch", "--epoch=1h")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows(self.path("out.csv")), sorted(lines))

    def test_a_savepoint_is_refused_where_the_input_is_another(self):
        self.uneven_files()
        with subprocess.Popen(self.command(self.path("in"), "--workers=2", "--rate=50000"),
                              stderr=subprocess.DEVNULL) as job:
            time.sleep(1.0)
            self.good("millrace", "stop", self.path("state"), "--savepoint", self.path("point"))
            self.assertEqual(job.wait(30), 3)
        shutil.rmtree(self.path("state"))
        harness.write(self.path("in/00-new.txt"), "a line that nobody has read\n")
        done = self.copy(self.path("in"), "--from", self.path("point"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.path("in/0"), done.stderr)
        self.assertFalse(os.path.exists(self.path("out.csv")))


if __name__ == "__main__":
    unittest.main()
