"""Files that are missing, closed, full, cut or interrupted: a clear end, nothing half presented as whole."""
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import time
import unittest

import harness
from harness import HEADER, JANUARY, Case, flight_rows, hourly


class Missing(Case):
    def test_a_missing_file_is_named(self):
        done = harness.run("flights", "--input", self.path("none.csv"))
        self.ends_with(1, done, "none.csv")
        self.assertTrue(done.stderr.startswith("flights: "), done.stderr)
        self.assertNotIn("rows in", done.stderr)
        self.assertNotIn("errno", done.stderr)

    def test_an_unreadable_file_is_named(self):
        path = self.write("secret.csv", HEADER)
        os.chmod(path, 0)
        options = {}
        if os.geteuid() == 0:  # root may read everything: be somebody else
            place = self.shared_copy("flights")
            options = {"preexec_fn": lambda: os.setuid(65534)}
            path = os.path.join(place, "secret.csv")
            harness.write(path, HEADER)
            os.chmod(path, 0)
            done = subprocess.run([os.path.join(place, "flights"), "--input", path],
                                  capture_output=True, check=False, timeout=20, text=True,
                                  cwd="/", **options)
        else:
            done = harness.run("flights", "--input", path)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("secret.csv", done.stderr)
        self.assertIn("permi", done.stderr.lower())

    def shared_copy(self, name):
        """A folder below /tmp that anybody can enter, with a copy of a program."""
        import tempfile
        place = tempfile.mkdtemp(prefix="millrace-e2e-")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o755)
        shutil.copy(harness.program(name), place)
        return place

    def test_an_output_folder_that_does_not_exist_is_named(self):
        done = harness.run("flights", "--input", JANUARY, "--output", self.path("no/where/out.csv"))
        self.ends_with(1, done, "no/where")

    def test_metrics_that_cannot_be_written_are_a_failure(self):
        done = harness.run("flights", "--input", JANUARY, "--metrics-json", self.path("no/m.json"))
        self.ends_with(1, done, "--metrics-json", "m.json")


class OutputFiles(Case):
    def test_a_file_appears_whole(self):
        out = self.path("out.csv")
        self.assertEqual(self.good("flights", "--input", JANUARY, "--output", out), b"")
        with open(out, "rb") as file:
            self.assertEqual(flight_rows(file.read()), hourly(harness.january()))
        self.assertEqual(os.listdir(self.folder), ["out.csv"])
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode) & 0o600, 0o600)

    def test_an_old_file_stays_until_the_new_one_is_complete(self):
        out = self.write("out.csv", "old")
        self.ends_with(1, harness.run("flights", "--input", self.path("none"), "--output", out))
        with open(out, encoding="utf-8") as file:
            self.assertEqual(file.read(), "old")
        self.good("flights", "--input", JANUARY, "--output", out)
        with open(out, "rb") as file:
            self.assertEqual(flight_rows(file.read()), hourly(harness.january()))

    def test_a_directory_of_parts(self):
        out = self.path("parts/")
        self.good("flights", "--input", JANUARY, "--output", out, "--workers=2")
        rows = set()
        names = sorted(os.listdir(out))
        self.assertTrue(names and all(name.startswith("part-") for name in names), names)
        for name in names:
            with open(os.path.join(out, name), "rb") as file:
                rows |= flight_rows(file.read())
        self.assertEqual(rows, hourly(harness.january()))

    def slow(self, *arguments):
        """A job that is in the middle of its work when this returns."""
        process = harness.start("flights", "--input", JANUARY, "--rate=2000", "--mode=streaming",
                                "--watermark-delay=0s", "--output", self.path("out.csv"),
                                *arguments)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.assertTrue(harness.wait_until(lambda: os.listdir(self.folder)))
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        self.assertNotIn("out.csv", os.listdir(self.folder))
        return process

    def test_ctrl_c_ends_with_130_a_summary_and_no_files(self):
        process = self.slow()
        process.send_signal(signal.SIGINT)
        err = self.end(process, 130)
        self.assertIn("cancelled", err)
        self.assertIn("rows in", err)
        self.assertEqual(os.listdir(self.folder), [])

    def test_termination_ends_with_143(self):
        process = self.slow("--quiet")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.end(process, 143), "")
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_killed_job_leaves_no_final_file(self):
        process = self.slow()
        process.kill()
        process.communicate()
        self.assertNotIn("out.csv", os.listdir(self.folder))

    def test_ctrl_c_while_it_waits_for_a_pipe(self):
        process = harness.start("flights", "--input", "-", stdin=subprocess.PIPE)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=5)
        process.stdin.close()
        err = process.stderr.read().decode()
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(code, 130, err)

    def test_a_stalled_reader_of_dead_letters_does_not_outlive_ctrl_c(self):
        pipe = self.path("letters")
        os.mkfifo(pipe)
        held = os.open(pipe, os.O_RDWR)  # somebody has it open and reads nothing
        self.addCleanup(os.close, held)
        bad = self.write("bad.csv", HEADER + "x\n" * 20_000)
        process = harness.start("flights", "--input", bad, f"--on-error=dead-letter={pipe}",
                                "--output", self.path("out.csv"))
        self.addCleanup(lambda: process.poll() is None and process.kill())
        time.sleep(1)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.end(process, 130)
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.csv", "letters"])

    def test_two_writers_of_one_file_never_show_half_of_one(self):
        out = self.path("out.csv")
        first = self.slow()
        second = harness.start("flights", "--input", JANUARY, "--output", out)
        self.assertEqual(second.wait(timeout=20), 0)
        for stream in (second.stdin, second.stdout, second.stderr):
            if stream is not None:
                stream.close()
        with open(out, "rb") as file:
            whole = file.read()
        err = first.communicate(timeout=60)[1].decode()
        self.assertEqual(first.returncode, 1, err)
        self.assertIn("another job writes the same file", err)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), whole)
        self.assertEqual(os.listdir(self.folder), ["out.csv"])

    def test_dead_letters_disappear_with_a_cancelled_job(self):
        process = self.slow(f"--on-error=dead-letter={self.path('dead')}")
        process.send_signal(signal.SIGINT)
        self.end(process, 130)
        self.assertEqual(os.listdir(self.folder), [])


class ClosedOutput(Case):
    def test_head_ends_the_job_quietly(self):
        path = self.write("x.txt", "\n".join(f"word{i}" for i in range(300_000)))
        process = harness.start("wordcount", "--input", path)
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 141, err)
        self.assertLessEqual(len(err.splitlines()), 1, err)

    def test_head_of_a_help_text(self):
        process = harness.start("flights", "--help")
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=20)
        self.assertIn(process.returncode, (0, 141), err)
        self.assertEqual(err, b"")


class FullDisk(Case):
    def test_a_full_device(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        done = harness.run("flights", "--input", JANUARY, "--output", "/dev/full")
        self.ends_with(1, done, "/dev/full", "space")
        with open("/dev/full", "wb") as full:
            done = harness.run("flights", "--input", JANUARY, stdout=full)
        self.ends_with(1, done, "space")

    def test_a_small_file_system(self):
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")
        mount = self.path("small")
        os.mkdir(mount)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", mount],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("this root may not mount: " + mounted.stderr.decode().strip())
        try:
            out = os.path.join(mount, "out.csv")
            done = harness.run("flights", "--input", JANUARY, "--output", out)
            self.ends_with(1, done, "out.csv", "space")
            self.assertEqual(os.listdir(mount), [])
        finally:
            subprocess.run(["umount", mount], check=True)

    def test_help_to_a_full_device_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            self.ends_with(1, harness.run("flights", "--help", stdout=full), "space")


class ChangingInput(Case):
    def test_a_file_that_shrinks_while_it_is_read(self):
        row = "2013-01-01T10:00:00Z,EWR,1,1\n"
        path = self.write("x.csv", HEADER + row * 2_000_000)
        process = harness.start("flights", "--input", path, "--rate=100000", "--workers=1")
        time.sleep(0.4)
        with open(path, "r+b") as file:
            file.truncate(5000)
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn(b"x.csv", err)
        self.assertIn(b"became shorter", err)

    def test_a_job_within_64_mib_of_address_space_for_data_says_so_or_succeeds(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (64 << 20, 64 << 20))
        done = harness.run("flights", "--input", JANUARY, "--workers=1", preexec_fn=limit)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        if done.returncode == 0:
            self.assertEqual(flight_rows(done.stdout), hourly(harness.january()))
        else:
            self.assertIn("memory", done.stderr)


class Memory(Case):
    def test_beyond_the_budget_is_a_clear_error(self):
        dice = random.Random(1)
        path = self.write("x.txt", "\n".join(f"{dice.random()}-{i}" for i in range(400_000)))
        done = harness.run("wordcount", "--input", path, "--memory=16MiB", "--workers=2")
        self.ends_with(1, done, "memory")
        self.assertIn("--memory", done.stderr)

    def test_the_demo_job_stays_below_64_mib(self):
        done = harness.run("flights", "--input", JANUARY, "--workers=2")
        self.ends_with(0, done)
        peak = done.stderr.split("peak memory ")[1].split("\n")[0]
        number, unit = peak.split()
        self.assertTrue(unit == "MiB" and float(number) < 64, peak)


class Rate(Case):
    def test_a_slowed_source_takes_its_time(self):
        path = self.write("x.csv", HEADER + "2013-01-01T10:00:00Z,EWR,1,1\n" * 2000)
        for workers in (1, 2):
            started = time.monotonic()
            self.good("flights", "--input", path, "--rate=1000", f"--workers={workers}")
            spent = time.monotonic() - started
            self.assertGreater(spent, 0.9)  # a second's worth may come at once
            self.assertLess(spent, 3.5)


if __name__ == "__main__":
    unittest.main()
