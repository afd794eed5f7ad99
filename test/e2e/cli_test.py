"""The command line: options, help, explain, counters, progress, completions, and the manual's pages."""
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import unittest

import harness
from harness import HEADER, JANUARY, Case

JOBS = ["flights", "rotations", "wordcount"]
COMMON = ["input", "rate", "output", "output-format", "mode", "workers", "memory", "on-error",
          "late", "state-dir", "guarantee", "epoch", "commit", "durability", "track", "roll", "restarts",
          "fresh", "takeover", "from", "allow-dropped-state", "explain", "metrics-json", "quiet", "help"]


class Usage(Case):
    def wrong(self, *arguments, says=()):
        done = harness.run("flights", *arguments)
        self.ends_with(2, done, *says)
        self.assertTrue(done.stderr.startswith("flights: "), done.stderr)
        self.assertIn("--help", done.stderr)
        self.assertEqual(done.stdout, b"")

    def test_input_is_required(self):
        for job in JOBS:
            done = harness.run(job)
            self.ends_with(2, done, f"{job}: ", "--input")

    def test_a_mistyped_option_gets_a_suggestion(self):
        for typed, meant in (("--ouput", "--output"), ("--worker", "--workers"),
                             ("--inptu=x", "--input"), ("--metrics", "--metrics-json"),
                             ("--watermark_delay=1s", "--watermark-delay"),
                             ("--quite", "--quiet"), ("--sort", "--sorted")):
            self.wrong(typed, says=[f"did you mean {meant}?"])

    def test_a_strange_option_gets_none(self):
        done = harness.run("flights", "--xyzzy")
        self.ends_with(2, done, "there is no option --xyzzy")
        self.assertNotIn("did you mean", done.stderr)

    def test_a_bare_file_name_is_told_about_input(self):
        self.wrong("data.csv", says=["--input data.csv"])

    def test_values_are_checked(self):
        for option, value, wanted in (
                ("workers", "x", "whole number"), ("workers", "0", "1 and 1024"),
                ("workers", "-1", "1 and 1024"), ("workers", "1025", "1 and 1024"),
                ("workers", "99999999999999999999", "whole number"),
                ("memory", "64mb", "64MiB"), ("memory", "0", "64MiB"), ("memory", "-1", "64MiB"),
                ("memory", "99999999TiB", "64MiB"),
                ("mode", "fast", "auto|batch|streaming"), ("output-format", "xml", "csv"),
                ("on-error", "ignore", "skip"), ("on-error", "dead-letter=", "dead-letter=PATH"),
                ("late", "keep", "by-split"), ("rate", "0", "within 1"), ("rate", "1.5", "whole"),
                ("watermark-delay", "1 day", "1h30m"), ("watermark-delay", "-1s", "1h30m"),
                ("explain=svg", None, "dot")):
            with self.subTest(option=option, value=value):
                arguments = [f"--{option}"] + ([] if value is None else [value])
                self.wrong("--input", "x", *arguments, says=[f"--{option.split('=')[0]}", wanted])

    def test_values_are_required_where_there_is_one(self):
        self.wrong("--input", says=["--input needs a value"])
        self.wrong("--input=", says=["--input needs a value"])
        self.wrong("--quiet=yes", says=["--quiet takes no value"])

    def test_both_spellings_and_the_last_one_counts(self):
        path = self.write("x.csv", HEADER)
        for arguments in (["--input", path], [f"--input={path}"], ["--input", "none", "--input", path]):
            self.good("flights", *arguments, "--memory=64MiB", "--workers", "1")

    def test_sizes_have_units(self):
        path = self.write("x.csv", HEADER)
        for size in ("67108864", "65536KiB", "64MiB", "1GiB", "100MB", "1GB"):
            self.good("flights", "--input", path, "--memory", size)


class Help(Case):
    def test_it_has_every_option_usage_example_and_exit_codes(self):
        for job in JOBS:
            text = self.good(job, "--help").decode()
            self.assertTrue(text.startswith(f"usage: {job}"), text)
            for name in COMMON:
                self.assertIn(f"--{name}", text)
            for word in ("example:", "exit:", "0 done", "default:"):
                self.assertIn(word, text)
            self.assertLessEqual(max(map(len, text.splitlines())), 90)
            self.assertEqual(self.good(job, "-h").decode(), text)

    def test_its_example_works(self):
        for job in JOBS:
            text = self.good(job, "--help").decode()
            command = shlex.split(re.search(r"example:\s+(.*)", text).group(1))
            command[0] = os.path.join(harness.BIN, command[0].removeprefix("bin/"))
            done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, check=False,
                                  timeout=30)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_default_of_the_watermark_delay_is_the_jobs(self):
        self.assertIn("(default: 24h)",
                      " ".join(self.good("flights", "--help").decode().split()))
        self.assertNotIn("--watermark-delay", self.good("wordcount", "--help").decode())


class Explain(Case):
    def test_text_shows_the_plan_and_runs_nothing(self):
        out = self.good("flights", "--input", JANUARY, "--explain", "--output",
                        self.path("out.csv")).decode()
        for word in ("csv", "origin", "time_hour"):
            self.assertIn(word, out)
        self.assertEqual(os.listdir(self.folder), [])

    def test_dot_is_a_graph(self):
        out = self.good("flights", "--input", JANUARY, "--explain=dot").decode()
        self.assertTrue(out.startswith("digraph"), out[:200])
        self.assertEqual(out.count("{"), out.count("}"))
        self.assertIn("->", out)
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg"], input=out.encode(), capture_output=True, check=True)

    def test_a_missing_file_is_told_here_too(self):
        self.ends_with(1, harness.run("flights", "--input", self.path("no.csv"), "--explain"),
                       "no.csv")


class Counters(Case):
    def test_metrics_never_overwrite_what_the_job_reads_or_writes(self):
        path = self.path("x.csv")
        for arguments in (("--input", path), ("--input", JANUARY, "--output", path),
                          ("--input", JANUARY, f"--on-error=dead-letter={path}")):
            self.ends_with(2, harness.run("flights", *arguments, "--metrics-json", path),
                           "--metrics-json")

    def test_metrics_are_json_and_add_up(self):
        path = self.path("m.json")
        for mode in ("batch", "streaming"):
            out = self.good("flights", "--input", JANUARY, "--metrics-json", path, "--workers=2",
                            f"--mode={mode}")
            with open(path, encoding="utf-8") as file:
                metrics = json.load(file)
            self.assertEqual((metrics["job"], metrics["mode"], metrics["workers"]),
                             ("flights", mode, 2))
            self.assertEqual(metrics["rows_in"], 27004)
            self.assertEqual(metrics["rows_out"], len(out.splitlines()) - 1)
            self.assertEqual(metrics["bytes_in"], os.path.getsize(JANUARY))
            self.assertEqual(metrics["bytes_out"], len(out))
            self.assertGreater(metrics["peak_memory_bytes"], 1 << 20)
            for name in ("rows_in", "rows_out", "bytes_in", "rows_late", "rows_rejected",
                         "rows_dropped"):
                self.assertEqual(sum(task[name] for task in metrics["tasks"]), metrics[name], name)
        self.assertEqual(os.listdir(self.folder), ["m.json"])

    def test_in_equals_out_plus_late_plus_rejected(self):
        rows = ["2013-01-01T10:00:00Z,EWR,1,1"] * 50 + ["2013-01-02T10:00:00Z,EWR,1,1"] * 5 \
            + ["2013-01-01T10:00:00Z,EWR,1,1"] * 7 + ["nonsense,EWR,1,1"] * 3
        path = self.write("x.csv", HEADER + "\n".join(rows) + "\n")
        metrics = self.path("m.json")
        out = self.good("flights", "--input", path, "--mode=streaming", "--watermark-delay=1h",
                        "--late=by-split", "--on-error=skip", "--metrics-json", metrics)
        with open(metrics, encoding="utf-8") as file:
            got = json.load(file)
        counted = sum(row[3] for row in harness.flight_rows(out))
        self.assertEqual((counted, got["rows_late"]), (55, 7))
        lost = got["rows_rejected"] + got["rows_dropped"]
        self.assertEqual(lost, 3)
        self.assertEqual(got["rows_in"], counted + got["rows_late"] + lost)


class Terminal(Case):
    SLOW = ["--input", JANUARY, "--rate=20000"]

    def test_quiet_is_silent(self):
        done = harness.run("flights", "--input", JANUARY, "--quiet")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        code, _, shown = harness.run_on_terminal("flights", *self.SLOW, "--quiet")
        self.assertEqual((code, shown), (0, ""))

    def test_no_progress_line_without_a_terminal(self):
        done = harness.run("flights", *self.SLOW)
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("\x1b", done.stderr)

    def test_bounded_input_shows_a_bar_and_erases_it(self):
        code, out, shown = harness.run_on_terminal("flights", *self.SLOW)
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"flights \[#*-*\] +\d+ %  [\d.]+( [kM])? rows/s  [\d.]+ \w+/s")
        self.assertIn("ETA", shown)
        last = shown.split("\r")[-3:]
        self.assertTrue(any("\x1b[K" in piece for piece in last), repr(shown[-400:]))
        self.assertIn("27,004 rows in", shown)
        self.assertEqual(len(out.splitlines()) - 1, len(harness.hourly(harness.january())))

    def test_unbounded_input_shows_rates_and_watermark(self):
        code, _, shown = harness.run_on_terminal(
            "flights", "--input", "/dev/stdin", "--quiet")  # stdin is /dev/null: ends at once
        self.assertEqual(code, 0, shown)
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        feeder = subprocess.Popen(["sh", "-c", f"(zcat {JANUARY}; sleep 1.5) > {fifo}"])
        code, _, shown = harness.run_on_terminal("flights", "--input", fifo)
        feeder.wait()
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"flights: in [\d.]+( k)?/s  out [\d.]+( k)?/s  watermark 20")
        self.assertIn("late 0", shown)

    def test_no_color_is_obeyed_and_late_rows_are_loud(self):
        path = self.write("x.csv", HEADER + "2013-01-03T10:00:00Z,EWR,1,1\n" * 3000
                          + "2013-01-01T10:00:00Z,EWR,1,1\n" * 3000)
        slow = ["--input", path, "--mode=streaming", "--late=by-split", "--watermark-delay=0s",
                "--workers=1"]
        _, _, coloured = harness.run_on_terminal("flights", *slow)
        self.assertIn("\x1b[1;33m", coloured)
        self.assertIn("3,000 rows came too late", coloured)
        _, _, plain = harness.run_on_terminal("flights", *slow, env={"NO_COLOR": "1"})
        self.assertIn("3,000 rows came too late", plain)
        self.assertNotRegex(plain, r"\x1b\[[\d;]*m")

    def test_a_dumb_terminal_gets_no_line(self):
        _, _, shown = harness.run_on_terminal("flights", *self.SLOW, env={"TERM": "dumb"})
        self.assertNotIn("\x1b", shown)

    def test_results_on_a_terminal_are_a_table(self):
        code, _, shown = harness.run_on_terminal("flights", "--input", harness.CANCELLED_HOUR,
                                                 "--sorted", stdout_too=True)
        self.assertEqual(code, 0, shown)
        lines = [line for line in shown.replace("\r", "").split("\n") if "EWR" in line]
        self.assertEqual(len(lines), 2, shown)
        self.assertNotIn(",EWR,", shown)

    def test_results_on_the_same_terminal_begin_on_a_line_of_their_own(self):
        path = self.write("x.txt", "a b\n" * 10000)
        code, _, shown = harness.run_on_terminal("wordcount", "--input", path, "--rate=10000",
                                                 "--workers=1", stdout_too=True)
        self.assertEqual(code, 0, shown)
        before, table = shown.split("\u250c", 1)  # the table's first corner
        self.assertIn("ETA", before)
        self.assertTrue(before.endswith("\x1b[K\r\r\n"), repr(before[-80:]))
        self.assertNotIn("\x1b", table.split("rows in")[0])

    def test_ctrl_c_on_a_terminal_erases_the_line_and_ends_with_130(self):
        code, _, shown = harness.run_on_terminal("flights", "--input", JANUARY, "--rate=5000",
                                                 send=(signal.SIGINT, 1.2))
        self.assertEqual(code, 130, shown)
        self.assertIn("cancelled after", shown)

    def test_summary_has_all_its_figures(self):
        done = harness.run("flights", "--input", JANUARY)
        for pattern in (r"27,004 rows in", r"[\d,]+ rows out", r"0 late", r"0 rejected",
                        r"641 KiB read", r"[\d.]+ KiB written", r"in [\d.]+ m?s;",
                        r"[\d.]+( [kM])? rows/s", r"peak memory [\d.]+ MiB"):
            self.assertRegex(done.stderr, pattern)


class Millrace(Case):
    def test_version_says_version_compiler_and_processor(self):
        out = self.good("millrace", "version").decode()
        self.assertRegex(out, r"millrace +\d+\.\d+\.\d+")
        self.assertRegex(out, r"compiler +(gcc|clang)")
        self.assertRegex(out, r"cpu +\w+")
        self.assertEqual(self.good("millrace", "--version").decode(), out)

    def test_help_knows_every_command(self):
        text = self.good("millrace", "help").decode()
        for command in ("version", "state", "stop", "log", "completion", "help"):
            self.assertIn(command, text)
            self.assertIn("usage: millrace " + command,
                          self.good("millrace", "help", command).decode())
            self.assertIn("usage: millrace " + command,
                          self.good("millrace", command, "--help").decode())
        self.assertEqual(self.good("millrace", "--help").decode(), text)

    def test_unknown_commands_get_a_suggestion_and_2(self):
        self.ends_with(2, harness.run("millrace", "versoin"), "did you mean 'version'?")
        self.ends_with(2, harness.run("millrace", "xyzzy"), "there is no command 'xyzzy'")
        self.ends_with(2, harness.run("millrace", "completion"), "bash, zsh or fish")
        self.ends_with(2, harness.run("millrace", "completion", "tcsh"), "tcsh")
        self.ends_with(2, harness.run("millrace", "version", "x"), "no argument")
        self.assertEqual(harness.run("millrace").returncode, 2)

    def test_completions_are_read_by_the_shells(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]),
                             ("fish", ["fish", "-n"])):
            script = self.good("millrace", "completion", shell, "flights", "a b")
            for name in COMMON:
                self.assertIn(name.encode(), script)
            if shutil.which(shell):
                path = self.write("script", script)
                subprocess.run([*check, path], check=True, capture_output=True)

    def test_bash_completes_options_and_choices(self):
        script = self.write("script", self.good("millrace", "completion", "bash", "flights"))

        def completed(*words):
            done = subprocess.run(
                ["bash", "-c", f"source {script}; COMP_WORDS=({' '.join(words)}); "
                 f"COMP_CWORD={len(words) - 1}; _millrace_job; echo ${{COMPREPLY[*]}}"],
                capture_output=True, text=True, check=True)
            return done.stdout.split()
        self.assertEqual(completed("flights", "--wor"), ["--workers"])
        self.assertEqual(completed("flights", "--mode", "s"), ["streaming"])
        self.assertEqual(completed("flights", "--output-format", "''"), ["table", "csv", "ndjson"])


class Manual(Case):
    def read(self, path):
        with open(os.path.join(harness.ROOT, path), encoding="utf-8") as file:
            return file.read()

    def test_the_page_of_options_is_what_the_command_prints(self):
        self.assertEqual(self.read("docs/reference/cli.md"),
                         self.good("millrace", "help", "reference").decode(),
                         "run: bin/millrace help reference >docs/reference/cli.md")

    def test_every_option_is_in_the_man_page(self):
        page = self.read("docs/man/millrace-job.7").replace("\\-", "-")
        for name in [*COMMON, "watermark-delay"]:
            self.assertIn(f"--{name}", page)

    def test_man_pages_are_well_formed(self):
        for path in glob.glob(os.path.join(harness.ROOT, "docs/man/*.[1357]")):
            text = self.read(path)
            self.assertTrue(text.startswith('.\\"') or text.startswith(".TH"), path)
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION"):
                self.assertRegex(text, rf"(?m)^\.SH {section}$")
            if shutil.which("man"):
                done = subprocess.run(["man", "--warnings", "-l", path], capture_output=True,
                                      env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
                                      check=False)
                self.assertEqual(done.stderr, b"", path)

    def test_every_exit_code_is_documented(self):
        page = self.read("docs/reference/exit-codes.md")
        for code in (0, 1, 2, 129, 130, 141, 143):
            self.assertIn(f"| {code} |", page)


if __name__ == "__main__":
    unittest.main()
