#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/compatibility.md: every row is there, and what proves it is a test that exists, ran and passed.

  compatibility.py listed ROOT BUILD      the rows, and that ctest in the build folder BUILD has each test of its own
  compatibility.py ran ROOT RESULTS       the rows, and that each test ran and passed by the JUnit files in RESULTS

Prints each problem and exits 1 if there is one. A row of the document:

  - **LA-22** What we do, over as many lines as it takes.
    - `oauth_tests: the name of a test as its runner has it`
    - Not done: the reason why not.
    - No test: what else shows it.

"(defect)" after the id marks what the other system does wrong: its row needs a test that we do not. Tests whose names begin
with "interop: " are Node's, "interop: SUITE: NAME"; all others are ctest's. The rules are tested by compatibility_test.py.
"""

import pathlib
import re
import subprocess
import sys

DOCUMENT = "docs/compatibility.md"
NODE = "interop: "


def numbered(prefix, *ranges):
    return ["%s-%02d" % (prefix, n) for first, last in ranges for n in range(first, last + 1)]


# The rows of the study that the document answers.
ROWS = (
    numbered("LA", (1, 10), (20, 37), (40, 47), (50, 57), (60, 62)) + ["LA-62b"]
    + numbered("LA", (63, 68), (80, 89), (90, 94))
    + numbered("PV", (1, 7), (10, 18), (20, 23), (30, 35), (40, 49), (60, 65))
    + numbered("SA", (1, 5), (10, 24), (30, 34), (40, 45), (50, 57))
)


def parse(text):
    """({id: {"defect", "text", "tests", "reasons"}}, problems)."""
    rows, problems, row = {}, [], None
    for number, line in enumerate(text.split("\n"), 1):
        start = re.match(r"- \*\*([^*]+)\*\*( \(defect\))? (\S.*)$", line)
        if start:
            if start.group(1) in rows:
                problems.append("line %d: %s is there already" % (number, start.group(1)))
            row = rows[start.group(1)] = {"defect": bool(start.group(2)), "text": start.group(3), "tests": [], "reasons": []}
            continue
        if not line.startswith("  "):
            row = None
            if line.startswith("- "):
                problems.append("line %d: a row begins with its id in bold, then what we do" % number)
            continue
        if row is None:
            continue
        proof = re.match(r"  - (?:`([^`]+)`|(Not done|No test): (\S.*))$", line)
        if proof and proof.group(1):
            row["tests"].append(proof.group(1))
        elif proof:
            row["reasons"].append(proof.group(2))
        elif re.match(r"  \S", line) and not line.startswith("  - "):
            row["text"] += " " + line.strip()
        elif not re.match(r"    \S", line):  # a reason may go on, further in
            problems.append("line %d: neither a test in backticks nor 'Not done: ' or 'No test: ' with a reason" % number)
    return rows, problems


def row_problems(rows, wanted):
    problems = ["%s is not there" % name for name in wanted if name not in rows]
    problems += ["%s is no row of the study" % name for name in rows if name not in wanted]
    known = [name for name in rows if name in wanted]
    if known != [name for name in wanted if name in rows]:
        problems.append("the rows are not in the order of the study")
    for name, row in rows.items():
        if not row["tests"] and not row["reasons"]:
            problems.append("%s has neither a test nor a reason" % name)
        if row["defect"] and not row["tests"] and "Not done" not in row["reasons"]:
            problems.append("%s is a defect: it needs a test that we do not have it" % name)
        problems += ["%s names a test twice: %s" % (name, test) for test in set(row["tests"]) if row["tests"].count(test) > 1]
    return problems


def listed_problems(rows, names):
    return ["%s: ctest has no test %s" % (name, test)
            for name, row in rows.items() for test in row["tests"] if not test.startswith(NODE) and test not in names]


def ran_problems(rows, results):
    problems = []
    for name, row in rows.items():
        for test in row["tests"]:
            if results.get(test) != "passed":
                problems.append("%s: %s %s" % (name, test, results.get(test, "was not run")))
    return problems


def ctest_names(listing):
    """From what `ctest -N` prints."""
    return set(re.findall(r"^ *Test +#\d+: (.*?) *$", listing, re.M))


ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}


def plain(text):
    """Without XML's entities."""
    def character(match):
        name = match.group(1)
        if name.startswith("#x"):
            return chr(int(name[2:], 16))
        return chr(int(name[1:])) if name.startswith("#") else ENTITIES[name]
    return re.sub(r"&(#x[0-9a-fA-F]+|#\d+|lt|gt|quot|apos|amp);", character, text)


OUTCOMES = ["was skipped", "passed", "failed"]


def merge(results, test, outcome):
    """A test that ran several times, against several servers, has failed if one run did, and was skipped only if all were."""
    results[test] = max(outcome, results.get(test, outcome), key=OUTCOMES.index)


def junit_results(text):
    """{name of a test: one of OUTCOMES} of a JUnit file, ctest's or Node's. Not a parser of XML: of what these two write,
    where no text has a "<" of its own."""
    results, suites, test, outcome = {}, [], None, None
    for closing, tag, attributes, empty in re.findall(r"<(/?)(\w+)((?:[^>\"]|\"[^\"]*\")*?)(/?)>", text):
        values = dict(re.findall(r"(\w+)=\"([^\"]*)\"", attributes))
        if tag == "testsuite" and not empty:
            suites.pop() if closing else suites.append(plain(values.get("name", "")))
        elif tag == "testcase" and not closing:
            is_node = values.get("classname") == "test"
            name = plain(values.get("name", ""))
            test = NODE + ": ".join(suites + [name]) if is_node else name
            outcome = "passed" if values.get("status", "run") == "run" else "failed" if values["status"] == "fail" else "was skipped"
        elif tag in ("failure", "error") and test and not closing:
            outcome = "failed"
        elif tag == "skipped" and test:
            outcome = "was skipped"
        if test and tag == "testcase" and (closing or empty):
            merge(results, test, outcome)
            test = None
    return results


def all_results(folder):
    results = {}
    for file in sorted(folder.glob("*.xml")):
        for test, outcome in junit_results(file.read_text()).items():
            merge(results, test, outcome)
    return results


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ("listed", "ran"):
        print(__doc__, file=sys.stderr)
        return 2
    command, root, place = arguments
    rows, problems = parse((pathlib.Path(root) / DOCUMENT).read_text())
    problems += row_problems(rows, ROWS)
    if command == "listed":
        listing = subprocess.run(["ctest", "--test-dir", place, "-N"], stdout=subprocess.PIPE, check=True)
        problems += listed_problems(rows, ctest_names(listing.stdout.decode()))
    else:
        problems += ran_problems(rows, all_results(pathlib.Path(place)))
    for problem in problems:
        print("%s: %s" % (DOCUMENT, problem))
    proven = sum(1 for row in rows.values() if row["tests"])
    print("%d rows: %d by tests, %d by a reason alone" % (len(rows), proven, len(rows) - proven))
    if command == "ran":
        print("compatibility: %d passed, %d failed" % (max(0, len(rows) - len(problems)), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
