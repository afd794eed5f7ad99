"""Any bytes in any file: a clear message or a counted rejection; never a crash or a hang."""
import glob
import os
import random
import unittest

import harness
from harness import Case

CORPUS = os.path.join(harness.ROOT, "test/corpus")


class Malformed(Case):
    def check(self, path, name):
        for job in ("flights", "wordcount"):
            for mode in ("batch", "streaming"):
                for policy in ("fail", "skip"):
                    with self.subTest(file=name, job=job, mode=mode, policy=policy):
                        done = harness.run(job, "--input", path, f"--mode={mode}", "--workers=2",
                                           f"--on-error={policy}", timeout=20)
                        self.assertIn(done.returncode, (0, 1), done.stderr)
                        self.assertNotIn("internal error", done.stderr)
                        self.assertNotIn("Sanitizer", done.stderr)
                        if done.returncode == 1:
                            self.assertTrue(done.stderr.startswith(job) and len(done.stderr) > 30,
                                            done.stderr)

    def test_every_file_of_the_corpus(self):
        paths = sorted(path for path in glob.glob(os.path.join(CORPUS, "**/*"), recursive=True)
                       if os.path.isfile(path) and not path.endswith((".md", ".py")))
        if not paths:
            self.skipTest("there is no test/corpus")
        for path in paths:
            self.check(path, os.path.relpath(path, CORPUS))

    def test_a_good_file_with_random_damage(self):
        dice = random.Random(12)
        with open(harness.CANCELLED_HOUR, "rb") as file:
            good = file.read()
        for round_ in range(25):
            data = bytearray(good)
            for _ in range(dice.randrange(1, 6)):
                at = dice.randrange(len(data))
                kind = dice.randrange(3)
                if kind == 0:
                    data[at] = dice.choice(b'",\n\r\x00\xff 9-')
                elif kind == 1:
                    del data[at:at + dice.randrange(1, 30)]
                else:
                    data[at:at] = dice.choice([b'"', b"\n", b",,,,", b"\xef\xbb\xbf", b"\x1f\x8b"])
            self.check(self.write(f"damaged-{round_}.csv", bytes(data)), f"seed 12 round {round_}")


if __name__ == "__main__":
    unittest.main()
