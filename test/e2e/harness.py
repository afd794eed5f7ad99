"""What the end-to-end tests share: running programs, temporary folders, readers of output."""
import csv
import datetime
import gzip
import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("MR_E2E_BIN", os.path.join(ROOT, "bin"))
JANUARY = os.path.join(ROOT, "examples/data/flights-2013-01.csv.gz")
CANCELLED_HOUR = os.path.join(ROOT, "examples/data/cancelled-hour.csv")
FLIGHT_COLUMNS = ["window_start", "window_end", "origin", "flights", "cancelled", "mean_dep_delay",
                  "max_dep_delay"]
HEADER = "time_hour,origin,dep_time,dep_delay\n"
_folder = None


def program(name):
    return os.path.join(BIN, name if name == "millrace" else f"examples/{name}")


def folder():
    """A fresh folder below one that goes away at the end."""
    global _folder
    if _folder is None:
        os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
        _folder = tempfile.mkdtemp(prefix="e2e-", dir=os.path.join(ROOT, "build"))
    return tempfile.mkdtemp(dir=_folder)


def pinned(package):
    """The package with its version, from the one file that has them."""
    with open(os.path.join(ROOT, "test/requirements.txt"), encoding="utf-8") as file:
        return re.search(rf"{package}==\S+", file.read()).group(0)


def clean():
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


def run(name, *arguments, stdin=None, timeout=60, env=None, **options):
    """Runs a program to its end; stdout and stderr as bytes and text."""
    clean_env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([program(name), *map(str, arguments)], timeout=timeout,
                          input=stdin if isinstance(stdin, bytes) else None,
                          stdin=None if isinstance(stdin, bytes) else stdin or subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env={**clean_env, **(env or {})}, check=False,
                          **options)
    done.stderr = done.stderr.decode("utf-8", "replace")
    return done


def start(name, *arguments, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([program(name), *map(str, arguments)], **options)


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def read_csv(data):
    """CSV bytes to (header, list of rows of texts)."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    return rows[0], [tuple(row) for row in rows[1:]]


def flight_rows(data):
    """The output of `flights` as a set of rows with typed values."""
    header, rows = read_csv(data)
    assert header == FLIGHT_COLUMNS, header
    typed = [(start, end, origin, int(flights), int(cancelled),
              round(float(mean), 9) if mean else None, int(longest) if longest else None)
             for start, end, origin, flights, cancelled, mean, longest in rows]
    assert len(typed) == len(set(typed)), "a window came out twice"
    return set(typed)


def instant(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc)


def instant_text(time_):
    return time_.strftime("%Y-%m-%dT%H:%M:%SZ")


def hourly(rows):
    """The rule of `flights`, written plainly: rows of (time_hour, origin, dep_time, dep_delay)."""
    groups = {}
    for hour, origin, dep_time, dep_delay in rows:
        begin = hour.replace(minute=0, second=0, microsecond=0)
        groups.setdefault((begin, origin), []).append((dep_time, dep_delay))
    result = set()
    for (begin, origin), members in groups.items():
        delays = [delay for dep_time, delay in members if dep_time is not None and delay is not None]
        result.add((instant_text(begin), instant_text(begin + datetime.timedelta(hours=1)),
                    origin or "", len(members), sum(dep_time is None for dep_time, _ in members),
                    round(sum(delays) / len(delays), 9) if delays else None,
                    max(delays) if delays else None))
    return result


def january():
    """The rows of January by Python's own CSV reader."""
    with gzip.open(JANUARY, "rt", newline="") as file:
        return [flight(row) for row in csv.DictReader(file)]


def flight(row):
    def number(text):
        return None if text in ("NA", "") else int(text)
    return (instant(row["time_hour"]), row["origin"], number(row["dep_time"]),
            number(row["dep_delay"]))


def run_on_terminal(name, *arguments, stdout_too=False, env=None, seconds=30, send=None):
    """Runs a program whose stderr (and stdout, if asked) is a terminal: (code, stdout, what it
    showed). `send`: (signal, after how many seconds)."""
    mine, its = pty.openpty()
    results = tempfile.TemporaryFile()  # a pipe would fill up while the terminal is read
    clean_env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen([program(name), *map(str, arguments)], stdin=subprocess.DEVNULL,
                               stdout=its if stdout_too else results, stderr=its,
                               env={**clean_env, "TERM": "xterm", **(env or {})},
                               start_new_session=True)
    os.close(its)
    shown = b""
    started = time.monotonic()
    try:
        while time.monotonic() < started + seconds:
            if send and time.monotonic() > started + send[1]:
                process.send_signal(send[0])
                send = None
            if mine in select.select([mine], [], [], 0.05)[0]:
                try:
                    piece = os.read(mine, 65536)
                except OSError:
                    piece = b""
                if not piece:
                    break
                shown += piece
            elif process.poll() is not None:
                break
        code = process.wait(timeout=10)
        results.seek(0)
        out = results.read()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        results.close()
        os.close(mine)
    return code, out, shown.decode("utf-8", "replace")


def duckdb():
    """The judge; a test that needs it is skipped where it is missing."""
    try:
        import duckdb as judge
    except ImportError:
        raise unittest.SkipTest("DuckDB is not installed") from None
    connection = judge.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = folder()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        return write(self.path(name), data)

    def good(self, name, *arguments, **options):
        """Runs a program that must end with 0; returns stdout."""
        done = run(name, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def ends_with(self, code, done, *texts):
        """The run ended with this code, and stderr says all of the texts."""
        self.assertEqual(done.returncode, code, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertNotIn("internal error", done.stderr)

    def end(self, process, code, timeout=10):
        """Waits for a started program; returns its stderr."""
        out, err = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, code, err)
        return err.decode("utf-8", "replace") if err else ""


INTERRUPT = signal.SIGINT
