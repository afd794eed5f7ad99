"""`wordcount`: DuckDB judges valid UTF-8, a short Python counter judges any bytes."""
import collections
import csv
import gzip
import io
import itertools
import json
import random
import re
import shutil
import subprocess
import unittest

import harness
from harness import Case

WORDS = "the of and to in a is that for it was on as with be by river mill wheel water grain flour " \
        "stone miller turns naïve Größe 水車 мельница extraordinarily incomprehensibilities".split()


def zipf_text(seed, size):
    """Valid UTF-8: words of all lengths, frequent and rare ones, white space in runs."""
    dice = random.Random(seed)
    vocabulary = WORDS + [f"w{i}" for i in range(20000)] + [f"long-word-number-{i}" for i in range(500)]
    picked = dice.choices(vocabulary, [1 / (rank + 1) for rank in range(len(vocabulary))],
                          k=size // 6)
    gaps = dice.choices([" ", "\n", "  ", "\t", " \n", "\r\n", "\v", "\f"],
                        [70, 10, 3, 1, 1, 1, 1, 1], k=len(picked))
    return "".join(itertools.chain.from_iterable(zip(picked, gaps)))


def counted(data):
    return collections.Counter(re.findall(rb"[^ \t\n\v\f\r]+", data))


def counts_of(out):
    """CSV with binary words to a dict. The csv module wants text: latin-1 keeps every byte."""
    rows = list(csv.reader(io.StringIO(out.decode("latin-1"), newline="")))
    assert rows[0] == ["word", "count"], rows[0]
    result = {word.encode("latin-1"): int(count) for word, count in rows[1:]}
    assert len(result) == len(rows) - 1, "a word came out twice"
    return result


class ValidText(Case):
    def test_equals_duckdb(self):
        text = zipf_text(1, 4_000_000)
        path = self.write("words.txt", text)
        judge = harness.duckdb()
        # Every kind of white space becomes one blank; string_split then gives empty texts too.
        expected = dict(judge.execute("""
            SELECT word, count(*) FROM (
                SELECT unnest(string_split(translate(content, chr(9) || chr(10) || chr(11) || chr(12)
                              || chr(13), '     '), ' ')) AS word
                FROM read_text(?)) WHERE word <> '' GROUP BY word""", [path]).fetchall())
        for workers in (1, 2, 4):
            for mode in ("batch", "streaming"):
                with self.subTest(workers=workers, mode=mode):
                    out = self.good("wordcount", "--input", path, f"--workers={workers}",
                                    f"--mode={mode}")
                    got = {word.decode(): count for word, count in counts_of(out).items()}
                    self.assertEqual(got, expected)


class AnyBytes(Case):
    def check(self, data, *arguments, **options):
        path = self.write("data.bin", data)
        out = self.good("wordcount", "--input", path, *arguments, **options)
        self.assertEqual(counts_of(out), counted(data))

    def test_random_bytes(self):
        dice = random.Random(7)
        for size in (1, 63, 64, 65, 1000, 300_000):
            with self.subTest(size=size):
                self.check(dice.randbytes(size), "--workers=2")

    def test_bytes_near_white_space_at_every_place_of_a_block(self):
        dice = random.Random(8)
        near = b"\x08\x09\x0a\x0b\x0c\x0d\x0e\x1f\x20\x21\x00\x80\x85\x89\xa0\xffab"
        for _ in range(60):
            self.check(bytes(dice.choices(near, k=dice.randrange(1, 300))), "--workers=1")

    def test_words_of_every_length_around_the_inline_limit(self):
        lines = [b"x" * left + b" " + b"y" * right for left in range(30) for right in range(30)]
        self.check(b"\n".join(lines))

    def test_no_words_at_all(self):
        for data in (b"", b" ", b"\n\n\n", b" \t\r\n\v\f"):
            self.check(data)

    def test_one_word_without_a_newline(self):
        self.check(b"word")

    def test_long_lines(self):
        line = b" ".join(b"%d" % (i % 1000) for i in range(60_000))
        self.check(line + b"\n" + line, "--workers=2")

    def test_a_text_without_any_newline(self):
        self.check(b" ".join(b"%d" % (i % 4000) for i in range(400_000)), "--workers=2")

    def test_a_word_beyond_the_limit_is_a_bad_record(self):
        path = self.write("x.txt", b"first line\n" + b"word" * 100_000 + b"\nlast line\n")
        done = harness.run("wordcount", "--input", path)
        self.ends_with(1, done, "x.txt:2: ", "longer than")
        done = harness.run("wordcount", "--input", path, "--on-error=skip")
        self.ends_with(0, done, " 1 rejected")
        self.assertEqual(counts_of(done.stdout), counted(b"first line last line"))


class Inputs(Case):
    def setUp(self):
        super().setUp()
        self.text = zipf_text(2, 300_000).encode()

    def test_standard_input_and_a_pipe(self):
        self.assertEqual(counts_of(self.good("wordcount", "--input", "-", stdin=self.text)),
                         counted(self.text))

    def test_standard_input_from_a_file(self):
        with open(self.write("x.txt", self.text), "rb") as file:
            self.assertEqual(counts_of(self.good("wordcount", "--input=-", stdin=file)),
                             counted(self.text))

    def test_gzip_is_told_by_content(self):
        path = self.write("no-suffix", gzip.compress(self.text))
        self.assertEqual(counts_of(self.good("wordcount", "--input", path)), counted(self.text))

    def test_gzip_of_several_members(self):
        half = len(self.text) // 2
        path = self.write("x.gz", gzip.compress(self.text[:half]) + gzip.compress(self.text[half:]))
        self.assertEqual(counts_of(self.good("wordcount", "--input", path)), counted(self.text))

    def test_gzip_through_a_pipe(self):
        out = self.good("wordcount", "--input", "-", stdin=gzip.compress(self.text))
        self.assertEqual(counts_of(out), counted(self.text))

    def test_zstd(self):
        if shutil.which("zstd") is None:
            self.skipTest("the command zstd is not installed")
        packed = subprocess.run(["zstd", "-c"], input=self.text, capture_output=True,
                                check=True).stdout
        path = self.write("x.zst", packed)
        self.assertEqual(counts_of(self.good("wordcount", "--input", path)), counted(self.text))
        path = self.write("two.zst", packed + packed)
        self.assertEqual(counts_of(self.good("wordcount", "--input", path)),
                         counted(self.text + self.text))

    def test_cut_compressed_files_fail_with_their_name(self):
        packed = gzip.compress(self.text)
        path = self.write("cut.gz", packed[:len(packed) // 2])
        done = harness.run("wordcount", "--input", path)
        self.ends_with(1, done, "cut.gz")

    def test_damaged_gzip_fails(self):
        packed = bytearray(gzip.compress(self.text))
        packed[len(packed) // 2] ^= 0x55
        path = self.write("bad.gz", bytes(packed))
        done = harness.run("wordcount", "--input", path)
        self.ends_with(1, done, "bad.gz")

    def test_globs_and_directories(self):
        pieces = [b"a b\nc", b"b c\n", b"", b"c d e"]  # a border between files is one between words
        for number, piece in enumerate(pieces):
            self.write(f"part-{number}.txt", piece)
        self.write(".hidden", b"never")
        self.write("other.log", b"log")
        expected = sum((counted(piece) for piece in pieces), collections.Counter())
        out = self.good("wordcount", "--input", self.path("part-*.txt"))
        self.assertEqual(counts_of(out), expected)
        out = self.good("wordcount", "--input", self.path("part-[01].txt"))
        self.assertEqual(counts_of(out), counted(pieces[0]) + counted(pieces[1]))
        out = self.good("wordcount", "--input", self.folder)
        self.assertEqual(counts_of(out), expected + counted(b"log"))

    def test_a_glob_without_a_match_is_named(self):
        done = harness.run("wordcount", "--input", self.path("*.nothing"))
        self.ends_with(1, done, "*.nothing")

    def test_several_chunks_are_cut_at_line_ends(self):
        text = zipf_text(3, 20_000_000).encode()
        path = self.write("big.txt", text)
        metrics = self.path("m.json")
        out = self.good("wordcount", "--input", path, "--workers=2", "--metrics-json", metrics)
        self.assertEqual(counts_of(out), counted(text))
        with open(metrics, encoding="utf-8") as file:
            self.assertGreater(json.load(file)["splits"], 1)


class Output(Case):
    def test_ndjson_is_json(self):
        data = zipf_text(4, 50_000).encode()
        path = self.write("x.txt", data)
        out = self.good("wordcount", "--input", path, "--output-format=ndjson")
        rows = [json.loads(line) for line in out.decode().splitlines()]
        self.assertEqual(len(rows), len(counted(data)))
        self.assertEqual(sum(row["count"] for row in rows), sum(counted(data).values()))

    def test_a_word_with_quotes_and_commas_is_quoted(self):
        path = self.write("x.txt", 'a"b a,b "" ,\n')
        out = self.good("wordcount", "--input", path)
        self.assertEqual(counts_of(out), {b'a"b': 1, b"a,b": 1, b'""': 1, b",": 1})
        self.assertIn(b'"a""b",1', out.splitlines())


if __name__ == "__main__":
    unittest.main()
