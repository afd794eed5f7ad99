#!/usr/bin/env python3
"""Makes test/pipelines/data and test/pipelines/golden with plain Python: an oracle that shares no code
with the engine. Run it after changing a pipeline: python3 test/pipelines/golden/make.py

Everything is drawn from fixed seeds; the flights are the first rows of examples/data.
"""
import csv
import gzip
import math
import os
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
FLIGHTS = os.path.join(HERE, "..", "..", "..", "examples", "data", "flights-2013-01.csv.gz")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SECOND = 1_000_000


def instant(us):
    text = (EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = us % SECOND
    return text + (f".{fraction:06d}".rstrip("0") if fraction else "") + "Z"


def double(x):
    """The shortest text that reads back equal; whole numbers without a point."""
    return str(int(x)) if x == int(x) and abs(x) < 1e21 else repr(x)


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return double(value)
    text = str(value)
    if text == "" or any(c in text for c in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def golden(name, header, rows):
    with open(os.path.join(HERE, name + ".csv"), "w", encoding="utf-8", newline="") as out:
        out.write(header + "\n")
        for row in rows:
            out.write(",".join(cell(v) for v in row) + "\n")


def data(name, text):
    with open(os.path.join(DATA, name), "w", encoding="utf-8", newline="") as out:
        out.write(text)


def mean(values):
    """avg(integer) is sum / count in doubles."""
    return sum(values) / len(values) if values else None


# ---- inputs ----

def make_words():
    rng = random.Random(1)
    vocabulary = ["a", "the", "mill", "race", "Wasser", "straße", "l'eau", "zażółć", "x" * 40, "0"]
    vocabulary += ["w%d" % i for i in range(60)]
    lines = []
    for _ in range(400):
        words = [rng.choice(vocabulary[: rng.randint(1, len(vocabulary))]) for _ in range(rng.randint(0, 12))]
        lines.append(rng.choice(["", " ", "\t"]) + rng.choice([" ", "  ", "\t", "\v \f"]).join(words))
    text = "\n".join(lines) + "\nlast line without an end"
    data("words.txt", text)
    return text


def make_flights():
    with gzip.open(FLIGHTS, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:1800]
    columns = ["time_hour", "origin", "tailnum", "dep_time", "dep_delay", "distance", "carrier"]
    data("flights.csv", ",".join(columns) + "\n" +
         "".join(",".join(r[c] for c in columns) + "\n" for r in rows))

    def number(text):
        return None if text == "NA" else int(text)

    for r in rows:
        r["us"] = int((datetime.fromisoformat(r["time_hour"].replace("Z", "+00:00")) - EPOCH)
                      .total_seconds()) * SECOND
        r["dep_time"], r["dep_delay"] = number(r["dep_time"]), number(r["dep_delay"])
        r["distance"] = number(r["distance"])
        r["tailnum"] = None if r["tailnum"] == "NA" else r["tailnum"]
    return rows


def make_events():
    """Keyed events up to 3 s out of order, at negative times too, some nulls."""
    rng = random.Random(2)
    rows = []
    for n in range(1500):
        us = -40 * SECOND + n * 97_003 - rng.randint(0, 3 * SECOND)
        rows.append({"n": n, "us": us, "key": rng.choice(["a", "b", "c", "d", "", "a long key, with a comma"]),
                     "value": None if rng.random() < 0.05 else rng.randint(-1000, 1000),
                     "price": Decimal(rng.randint(-99999, 999999)) / 100,
                     "ratio": rng.choice([rng.uniform(-1, 1), rng.uniform(-1e12, 1e12), 1e15, -1e15, 1e-9])})
    header = "n,ts,key,value,price,ratio\n"
    lines = [",".join([str(r["n"]), instant(r["us"]), '"%s"' % r["key"],
                       "" if r["value"] is None else str(r["value"]), str(r["price"]), repr(r["ratio"])])
             for r in rows]
    data("events.csv", header + "\n".join(lines) + "\n")
    return rows


def make_bad():
    rng = random.Random(3)
    lines, good = ["a,b"], []
    rejected = 0
    for i in range(300):
        kind = rng.randint(0, 11)
        a, b = rng.randint(-50, 50), rng.randint(-3, 3)
        if kind == 0:
            lines.append(f"{a}")              # too few fields
        elif kind == 1:
            lines.append(f"{a},{b},1")        # too many
        elif kind == 2:
            lines.append(f"{a}x,{b}")         # not a number
        elif kind == 3:
            lines.append(f'{a},"{b}"7')       # text behind a closing quote
        elif kind == 4:
            lines.append(f"{2**63 + i},{b}")  # does not fit
        else:
            lines.append(f"{a},{b}")
            good.append((a, b))
            continue
        rejected += 1
    data("bad.csv", "\n".join(lines) + "\n")
    return good, rejected


# ---- results ----

def windows_of(us, size, slide):
    last = us - us % slide
    return [s for s in range(last, us - size, -slide)]


def main():
    os.makedirs(DATA, exist_ok=True)
    counts = {}

    words = make_words()
    tally = Counter(w for w in words.replace("\t", " ").replace("\v", " ").replace("\f", " ")
                    .replace("\n", " ").split(" ") if w)
    golden("words", "word,count", sorted(tally.items()))

    flights = make_flights()
    hourly = defaultdict(list)
    for r in flights:
        hourly[(r["us"], r["origin"])].append(r)
    golden("flights_hourly", "window_start,window_end,origin,flights,cancelled,mean,max",
           [(instant(us), instant(us + 3600 * SECOND), origin, len(rows),
             sum(r["dep_time"] is None for r in rows),
             mean([r["dep_delay"] for r in rows if r["dep_delay"] is not None]),
             max((r["dep_delay"] for r in rows if r["dep_delay"] is not None), default=None))
            for (us, origin), rows in sorted(hourly.items())])

    golden("filter_project", "tailnum,km,class,late",
           [(r["tailnum"], r["distance"] * 1609 // 1000,
             "none" if r["dep_delay"] is None else "early" if r["dep_delay"] < 0 else
             "late" if r["dep_delay"] > 30 else "fine",
             None if r["dep_delay"] is None else "true" if r["dep_delay"] > 30 else "false")
            for r in flights if r["distance"] > 700 and r["carrier"] != "UA"
            and (r["dep_delay"] is None or r["dep_delay"] * 2 < 100)])

    union = Counter()
    for r in flights:
        if r["origin"] == "EWR":
            union[r["origin"]] += 1
        if r["distance"] > 1000:
            union[r["origin"]] += 1
    golden("union_counts", "origin,rows", sorted(union.items()))

    events = make_events()
    hops = defaultdict(list)
    for r in events:
        for start in windows_of(r["us"], 10 * SECOND, 4 * SECOND):
            hops[(start, r["key"])].append(r)
    def stats(rows):
        values = [r["value"] for r in rows if r["value"] is not None]
        return (len(rows), len(values), sum(values) if values else None, min(values, default=None),
                max(values, default=None), mean(values))
    golden("hopping", "window_start,window_end,key,rows,values,sum,min,max,avg",
           [(instant(s), instant(s + 10 * SECOND), k, *stats(rows)) for (s, k), rows in hops.items()])

    gaps = Counter()
    for r in events:  # slide 9 s, size 4 s: rows between windows belong to none
        if r["us"] % (9 * SECOND) < 4 * SECOND:
            gaps[r["us"] - r["us"] % (9 * SECOND)] += 1
    golden("hopping_gaps", "window_start,window_end,rows",
           [(instant(s), instant(s + 4 * SECOND), n) for s, n in gaps.items()])

    sessions = []
    gap = 3 * SECOND // 4
    for key in {r["key"] for r in events}:
        times = sorted(((r["us"], r["value"]) for r in events if r["key"] == key),
                       key=lambda t: t[0])
        current = []
        for us, value in times:
            if current and us - current[-1][0] >= gap:
                sessions.append((key, current))
                current = []
            current.append((us, value))
        sessions.append((key, current))
    golden("sessions", "window_start,window_end,key,rows,sum",
           [(instant(c[0][0]), instant(c[-1][0] + gap), key, len(c),
             sum(v for _, v in c if v is not None) if any(v is not None for _, v in c) else None)
            for key, c in sessions])

    values = [r["value"] for r in events if r["value"] is not None]
    golden("global_all", "rows,sum,avg,least,greatest,ratio",
           [(len(events), sum(values), mean(values), min(r["key"] for r in events),
             max(r["key"] for r in events), math.fsum(r["ratio"] for r in events))])
    golden("global_empty", "rows,sum,avg,least", [(0, None, None, None)])

    golden("top", "value,n", sorted([(r["value"], r["n"]) for r in events if r["value"] is not None],
                                    key=lambda t: (-t[0], t[1]))[:25])
    golden("sort_nulls", "dep_delay,tailnum,distance", sort_flights(flights))

    sides = Counter()
    for r in events:
        sides["odd" if r["n"] % 2 else "even"] += 1
        if r["n"] % 10 == 0:
            sides["tenth"] += 2
    golden("side_outputs", "kind,rows", sorted(sides.items()))

    xors = defaultdict(int)
    squares = defaultdict(int)
    for r in events:
        xors[r["key"]] ^= r["n"] * 2654435761
        squares[r["key"]] += (r["value"] or 0) ** 2
    golden("user_aggregate", "key,mix,squares", [(k, xors[k], squares[k]) for k in xors])

    firsts = {}
    for key in {r["key"] for r in events}:
        rows = [r for r in events if r["key"] == key and r["value"] is not None]
        firsts[key] = (min((r["us"], r["value"]) for r in rows)[1], max((r["us"], r["value"]) for r in rows)[1])
    golden("first_last", "key,first,last", [(k, a, b) for k, (a, b) in firsts.items()])

    money = defaultdict(list)
    for r in events:
        money[r["key"]].append(r["price"])
    golden("decimals", "key,sum,least,greatest,doubled",
           [(k, f"{sum(v):.2f}", f"{min(v):.2f}", f"{max(v):.2f}", f"{sum(2 * x for x in v):.2f}")
            for k, v in money.items()])

    floats = defaultdict(list)
    for r in events:
        floats[r["key"]].append(r["ratio"])
    golden("float_sums", "key,sum,least", [(k, math.fsum(v), min(v)) for k, v in floats.items()])

    good, rejected = make_bad()
    divided = [(a, b, int(a / b)) for a, b in good if b != 0]
    golden("bad_rows", "a,b,quotient", divided)
    counts["bad_rows"] = rejected + sum(b == 0 for _, b in good)

    # Lateness by the row's own split: one file is one split, read in order; the watermark at a row
    # is the greatest time before it minus the delay.
    delay, size = 1 * SECOND, 2 * SECOND
    seen, late, windows = None, [], defaultdict(list)
    for r in events:
        watermark = None if seen is None else seen - delay
        start = r["us"] - r["us"] % size
        if watermark is not None and watermark >= start + size:
            late.append(r)
        else:
            windows[(start, r["key"])].append(r)
        seen = r["us"] if seen is None else max(seen, r["us"])
    golden("late_by_split", "window_start,window_end,key,rows",
           [(instant(s), instant(s + size), k, len(rows)) for (s, k), rows in windows.items()])
    golden("late_output", "n,key", [(r["n"], r["key"]) for r in late])
    counts["late_by_split"] = counts["late_output"] = len(late)
    print("counts that stand in pipelines.c:", counts)


def sort_flights(flights):
    """By dep_delay ascending (nulls first), tailnum descending (nulls last), distance ascending."""
    rows = [(r["dep_delay"], r["tailnum"], r["distance"]) for r in flights]
    rows.sort(key=lambda t: t[2])
    rows.sort(key=lambda t: (t[1] is not None, (t[1] or "").encode()), reverse=True)
    rows.sort(key=lambda t: (t[0] is not None, t[0] or 0))
    return rows


if __name__ == "__main__":
    main()
