"""README.md is true: its commands run, and print what stands below them.

A fenced block whose first line begins with `$ ` is a session: commands with `$ `, then their output.
Figures that depend on the machine (numbers with a unit, rates, sizes) are compared by pattern only;
rows are compared as sorted lists; a line `...` stands for any number of lines.
"""
import os
import re
import subprocess
import unittest

import harness
from harness import Case

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
FIGURES = [
    (re.compile(r"\d[\d,.]*( [kMGT])? rows/s"), "# rows/s"),
    (re.compile(r"\d[\d,.]*( [kMGT])?/s\b"), "#/s"),
    (re.compile(r"\d[\d,.]* ?(B|KiB|MiB|GiB|KB|MB|GB)(/s)?\b"), "#"),
    (re.compile(r"\d[\d,.]* (min|h) \d+ (s|min)\b"), "#"),
    (re.compile(r"\d[\d,.]* ?(us|ms|s|seconds)\b"), "#"),
]
# Not run from here: they lead back to this test, or change the machine.
NOT_RUN = re.compile(r"^(sudo |git clone|cd |make( test| install| tidy)?$|make .*(PREFIX|DESTDIR)|"
                     r"apt|\.ci/run)")


def sessions(text):
    """(command, expected lines) of every session block."""
    for language, body in FENCE.findall(text):
        if language not in ("sh", "console", "") or not body.startswith("$ "):
            continue
        for piece in re.split(r"^\$ ", body, flags=re.M)[1:]:
            lines = piece.rstrip("\n").split("\n")
            command = lines.pop(0)
            while command.endswith("\\"):
                command = command[:-1] + lines.pop(0)
            yield command.split(" #")[0].strip(), lines


def loose(line):
    for pattern, word in FIGURES:
        line = pattern.sub(word, line)
    return re.sub(r"[ \t]+", " ", re.sub(r"-{3,}", "---", line)).strip()


def differences(expected, got):
    """Lines that are expected and missing, and (without `...`) those that nobody expects."""
    wanted = sorted(loose(line) for line in expected if line.strip() != "..." and line.strip())
    have = sorted(loose(line) for line in got if line.strip())
    rest = list(have)
    missing = []
    for line in wanted:
        if line in rest:
            rest.remove(line)
        else:
            missing.append(line)
    if any(line.strip() == "..." for line in expected):
        rest = []
    return missing, rest


class Readme(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as file:
            self.text = file.read()

    def run_here(self, command):
        done = subprocess.run(["bash", "-c", command], cwd=harness.ROOT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=120)
        return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()

    def test_its_sessions_print_what_it_shows(self):
        count = 0
        for command, expected in sessions(self.text):
            if NOT_RUN.search(command):
                continue
            with self.subTest(command=command):
                code, got = self.run_here("tools/demo" if command == "make demo" else command)
                self.assertEqual(code, 0, got[-5:])
                self.assertEqual(differences(expected, got), ([], []))
                count += 1
        self.assertGreater(count, 0, "README.md shows no session")

    def test_the_demo_prints_what_it_shows(self):
        blocks = [body.strip() for _, body in FENCE.findall(self.text)]
        self.assertIn("make demo", blocks)
        expected = blocks[blocks.index("make demo") + 1].split("\n")
        code, got = self.run_here("tools/demo")
        self.assertEqual(code, 0, got[-5:])
        self.assertEqual(differences(expected, got), ([], []))

    def test_its_c_program_prints_what_it_shows(self):
        """A C program, then a block that ends with how it is called, then what it prints."""
        library = os.path.join(harness.ROOT, "build/release/libmillrace.a")
        if not os.path.exists(library):
            self.skipTest("there is no build/release/libmillrace.a")
        blocks = FENCE.findall(self.text)
        at = next(i for i, (language, body) in enumerate(blocks)
                  if language == "c" and "int main" in body)
        call = blocks[at + 1][1].strip().split("\n")[-1].removeprefix("$ ")
        source = self.write("program.c", blocks[at][1])
        subprocess.run(["cc", "-std=c11", "-I", os.path.join(harness.ROOT, "include"), source, library,
                        "-lisal", "-lzstd", "-lstdc++", "-lm", "-lpthread",
                        "-o", self.path("program")], check=True)
        self.assertTrue(call.startswith("./"), call)
        code, got = self.run_here(re.sub(r"^\./\S+", self.path("program"), call))
        self.assertEqual((code, differences(blocks[at + 2][1].strip().split("\n"), got)),
                         (0, ([], [])), got)

    def test_its_make_targets_exist(self):
        with open(os.path.join(harness.ROOT, "Makefile"), encoding="utf-8") as file:
            makefile = file.read()
        for target in re.findall(r"(?:^|[`$ ])make ([a-z]+)\b", self.text, re.M):
            self.assertRegex(makefile, rf"(?m)^{target}:", target)

    def test_its_c_programs_compile(self):
        for language, body in FENCE.findall(self.text):
            if language == "c" and "#include" in body:
                done = subprocess.run(
                    ["cc", "-x", "c", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                     "-I", os.path.join(harness.ROOT, "include"), "-"],
                    input=body.encode(), capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_files_and_folders_it_names_exist(self):
        for name in re.findall(r"\]\(((?!http)[^)#]+)", self.text):
            self.assertTrue(os.path.exists(os.path.join(harness.ROOT, name)), name)


class TheTestItself(Case):
    def test_figures_are_loose_and_rows_are_not(self):
        self.assertEqual(differences(["a 12 ms", "b"], ["b", "a 3.4 s"]), ([], []))
        self.assertEqual(differences(["EWR,3"], ["EWR,4"]), (["EWR,3"], ["EWR,4"]))
        self.assertEqual(differences(["x", "..."], ["x", "y"]), ([], []))
        self.assertEqual(loose("790 k rows/s, 18.9 MiB/s in 1 min 5 s"), "# rows/s, # in #")


if __name__ == "__main__":
    unittest.main()
