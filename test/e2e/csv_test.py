"""CSV oddities through `flights`: Python's own csv module says what the rows are."""
import csv
import gzip
import io
import json
import random
import unittest

import harness
from harness import HEADER, Case, flight, flight_rows, hourly

HOUR = "2013-01-01T10:00:00Z"


def expected_of(text):
    """The result over CSV text, by Python's reader."""
    return hourly([flight(row) for row in csv.DictReader(io.StringIO(text, newline=""))])


class Oddities(Case):
    def check(self, text, *arguments):
        path = self.write("x.csv", text)
        for way in (["--mode=batch", "--workers=2"], ["--mode=streaming", "--workers=1"]):
            out = self.good("flights", "--input", path, *way, *arguments)
            self.assertEqual(flight_rows(out), expected_of(text))
        return out

    def test_quoted_fields_with_delimiters_quotes_and_newlines(self):
        self.check(HEADER + f'{HOUR},"a,b",1,2\n{HOUR},"say ""hi""",1,2\n{HOUR},"two\nlines",1,2\n'
                            f'{HOUR},"",1,2\n{HOUR},"cr\r\nlf",1,2\n"{HOUR}","x","1","2"\n')

    def test_output_can_be_read_back(self):
        out = self.check(HEADER + f'{HOUR},"a,b",1,2\n{HOUR},"q""q",1,2\n{HOUR},"n\nn",1,2\n')
        origins = {row[2] for row in harness.read_csv(out)[1]}
        self.assertEqual(origins, {"a,b", 'q"q', "n\nn"})

    def test_line_ends_crlf_and_none_at_the_end(self):
        self.check(HEADER.replace("\n", "\r\n") + f"{HOUR},EWR,1,2\r\n{HOUR},EWR,NA,NA\r\n")
        self.check(HEADER + f"{HOUR},EWR,1,2")
        self.check(HEADER.strip() + "\r\n" + f"{HOUR},EWR,1,2\r\n{HOUR},LGA,1,2")

    def test_columns_in_another_order_and_surplus_ones(self):
        self.check("x,dep_delay,origin,y,time_hour,dep_time\n"
                   f'"junk, with ""quotes""\nand lines",5,EWR,,{HOUR},1\n1,NA,EWR,2,{HOUR},NA\n')

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self):
        path = self.write("x.csv", b"\xef\xbb\xbf" + (HEADER + f"{HOUR},EWR,1,2\n").encode())
        self.assertEqual(len(flight_rows(self.good("flights", "--input", path))), 1)

    def test_only_a_header(self):
        path = self.write("x.csv", HEADER)
        out = self.good("flights", "--input", path)
        self.assertEqual(out.decode().splitlines(), [",".join(harness.FLIGHT_COLUMNS)])

    def test_unicode_stays_as_it_is(self):
        self.check(HEADER + f"{HOUR},Zürich,1,2\n{HOUR},東京,1,2\n{HOUR},🛫,1,2\n")

    def test_random_quoting(self):
        dice = random.Random(5)

        def field(text, quotable=True):
            if set(text) & set('",\r\n') or (quotable and text and dice.random() < 0.3):
                return '"' + text.replace('"', '""') + '"'
            return text
        for round_ in range(20):
            end = dice.choice(["\n", "\r\n"])
            lines = ["note," + HEADER.strip()]
            for _ in range(dice.randrange(1, 300)):
                texts = ["".join(dice.choices('a",\n\r ;', k=dice.randrange(9))), HOUR,
                         "".join(dice.choices('AB", \n', k=dice.randrange(1, 4)))]
                numbers = [dice.choice(["NA", "5"]), dice.choice(["NA", "-3", "8"])]
                lines.append(",".join([*map(field, texts),
                                       *(field(text, text != "NA") for text in numbers)]))
            with self.subTest(round=round_):
                self.check(end.join(lines) + end)

    def test_quoted_newlines_over_the_border_of_splits(self):
        row = '"' + "line " * 20 + '\n""quoted"";""' + '\n",' + f"{HOUR},EWR,1,2\n"
        text = "note," + HEADER + row * (18_000_000 // len(row))
        path = self.write("big.csv", text)
        metrics = self.path("m.json")
        out = self.good("flights", "--input", path, "--workers=2", "--metrics-json", metrics)
        rows = 18_000_000 // len(row)
        self.assertEqual(flight_rows(out), {(HOUR, "2013-01-01T11:00:00Z", "EWR", rows, 0, 2.0, 2)})
        with open(metrics, encoding="utf-8") as file:
            self.assertGreater(json.load(file)["splits"], 1)


class BadRows(Case):
    BAD = [f"{HOUR},EWR,12x,1", "yesterday,EWR,1,1", f"{HOUR},EWR,1", f"{HOUR},EWR,1,2,3",
           f'{HOUR},E"W,1,1', f"{HOUR},EWR,99999999999999999999,1"]

    def file(self, bad):
        good = f"{HOUR},EWR,1,4\n"
        return self.write("rows.csv", HEADER + good * 10 + bad + "\n" + good * 5)

    def test_fail_names_file_line_column_text_and_type(self):
        path = self.file(f"{HOUR},EWR,12x,1")
        for mode in ("batch", "streaming"):
            done = harness.run("flights", "--input", path, f"--mode={mode}")
            self.ends_with(1, done, "rows.csv:12: column 3 (dep_time): '12x' is not an int64",
                           "EWR,12x,1", "--on-error skip")

    def test_fail_is_the_end_for_every_kind_of_bad_row(self):
        for bad in self.BAD:
            with self.subTest(row=bad):
                done = harness.run("flights", "--input", self.file(bad))
                self.ends_with(1, done, "rows.csv:12: ")
                self.assertEqual(done.stdout, b"")

    def test_skip_counts_exactly(self):
        for bad in self.BAD:
            for mode in ("batch", "streaming"):
                with self.subTest(row=bad, mode=mode):
                    done = harness.run("flights", "--input", self.file(bad), "--on-error", "skip",
                                       f"--mode={mode}")
                    self.ends_with(0, done, " 1 rejected", "--on-error skip")
                    self.assertEqual(flight_rows(done.stdout),
                                     {(HOUR, "2013-01-01T11:00:00Z", "EWR", 15, 0, 4.0, 4)})

    def test_dead_letters_have_place_reason_and_raw_text(self):
        letters = self.path("dead.ndjson")
        path = self.write("rows.csv", HEADER + f"{HOUR},EWR,1,4\n" + "\n".join(self.BAD[:4]) + "\n")
        done = harness.run("flights", "--input", path, f"--on-error=dead-letter={letters}")
        self.ends_with(0, done, " 4 rejected")
        with open(letters, encoding="utf-8") as file:
            rows = sorted((json.loads(line) for line in file), key=lambda row: row["line"])
        self.assertEqual([row["line"] for row in rows], [3, 4, 5, 6])
        self.assertEqual([row["raw"].rstrip("\r\n") for row in rows], self.BAD[:4])
        self.assertTrue(all(row["file"].endswith("rows.csv") and row["reason"] for row in rows))
        text = open(path, encoding="utf-8").read()
        self.assertEqual([row["offset"] for row in rows], 
                         [text.index(f"\n{bad}\n") + 1 for bad in self.BAD[:4]])

    def test_dead_letters_of_a_failed_job_are_not_shown_as_whole(self):
        letters = self.path("dead.ndjson")
        done = harness.run("flights", "--input", self.path("missing.csv"),
                           f"--on-error=dead-letter={letters}")
        self.ends_with(1, done)
        self.assertEqual(self.visible(), [])

    def visible(self):
        import os
        return sorted(os.listdir(self.folder))

    def test_bytes_that_are_no_utf8_are_a_bad_row(self):
        path = self.write("x.csv", (HEADER + f"{HOUR},EWR,1,2\n").encode()
                          + f"{HOUR},".encode() + b"\xff\xfe,1,2\n")
        done = harness.run("flights", "--input", path)
        self.ends_with(1, done, "x.csv:3: ", "origin")
        letters = self.path("dead")
        done = harness.run("flights", "--input", path, f"--on-error=dead-letter={letters}")
        self.ends_with(0, done, " 1 rejected")
        with open(letters, encoding="utf-8") as file:
            self.assertIn("raw_base64", json.loads(file.readline()))

    def test_a_null_event_time_is_a_bad_row(self):
        path = self.file("NA,EWR,1,1")
        self.ends_with(1, harness.run("flights", "--input", path), "time_hour")
        done = harness.run("flights", "--input", path, "--on-error=skip")
        self.ends_with(0, done, " 1 rejected")

    def test_many_bad_rows_with_any_number_of_workers(self):
        dice = random.Random(6)
        lines, good = [], 0
        for _ in range(30000):
            if dice.random() < 0.1:
                lines.append(dice.choice(self.BAD[:4]))
            else:
                lines.append(f"{HOUR},EWR,1,4")
                good += 1
        path = self.write("x.csv.gz", gzip.compress((HEADER + "\n".join(lines) + "\n").encode()))
        for workers in (1, 2, 4):
            done = harness.run("flights", "--input", path, "--on-error=skip",
                               f"--workers={workers}")
            self.ends_with(0, done, f"{30000 - good:,} rejected")
            self.assertEqual({row[3] for row in flight_rows(done.stdout)}, {good})

    def test_a_missing_column_is_named(self):
        path = self.write("x.csv", "time_hour,from,dep_time\n")
        self.ends_with(1, harness.run("flights", "--input", path), "x.csv", "origin")

    def test_an_empty_file_has_no_rows(self):
        done = harness.run("flights", "--input", self.write("x.csv", ""))
        self.ends_with(0, done, "0 rows in")


if __name__ == "__main__":
    unittest.main()
