#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the documents whose rows are proven by tests: docs/compatibility.md and docs/atproto-profile.md.

  proofs.py listed ROOT BUILD      the rows are there, and ctest in the build folder BUILD has each test of its own
  proofs.py ran ROOT RESULTS       the rows are there, and each test ran and passed by the JUnit files in RESULTS; writes
                                   each document with the outcomes of its tests into RESULTS
  proofs.py complete ROOT BUILD    adds to the rules' rows the tests of ctest that carry their number

The first two print each problem and exit 1 if there is one. A row of a document:

  - **LA-22** What we do, over as many lines as it takes.
    - `oauth_tests: the name of a test as its runner has it`
    - Not done: the reason why not.
    - No test: what else shows it.

"(defect)" after the id marks what the other system does wrong: its row needs a test that we do not. In the profile each row
is a rule: it has no reasons, and one test at least that carries its number ("C4.4: ...", or "C4.1 to C4.6: ..."). Tests whose
names begin with "interop: " are Node's, "interop: SUITE: NAME"; all others are ctest's. Tested by proofs_test.py.
"""

import collections
import pathlib
import re
import subprocess
import sys

NODE = "interop: "


def numbered(prefix, *ranges):
    return ["%s-%02d" % (prefix, n) for first, last in ranges for n in range(first, last + 1)]


# The rows of the study that docs/compatibility.md answers.
STUDY = (
    numbered("LA", (1, 10), (20, 37), (40, 47), (50, 57), (60, 62)) + ["LA-62b"]
    + numbered("LA", (63, 68), (80, 89), (90, 94))
    + numbered("PV", (1, 7), (10, 18), (20, 23), (30, 35), (40, 49), (60, 65))
    + numbered("SA", (1, 5), (10, 24), (30, 34), (40, 45), (50, 57))
)
# How many rules each section of docs/atproto-profile.md has, C1 to C11.
RULES = ["C%d.%d" % (section, rule)
         for section, count in enumerate((12, 10, 14, 12, 14, 14, 14, 5, 5, 7, 6), 1) for rule in range(1, count + 1)]

# `are_rules`: each row needs a test of its number, and no reason stands for one.
Document = collections.namedtuple("Document", "path rows are_rules")
DOCUMENTS = (Document("docs/compatibility.md", STUDY, False), Document("docs/atproto-profile.md", RULES, True))


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
    problems += ["%s is no row of this document" % name for name in rows if name not in wanted]
    known = [name for name in rows if name in wanted]
    if known != [name for name in wanted if name in rows]:
        problems.append("the rows are not in their order")
    for name, row in rows.items():
        if not row["tests"] and not row["reasons"]:
            problems.append("%s has neither a test nor a reason" % name)
        if row["defect"] and not row["tests"] and "Not done" not in row["reasons"]:
            problems.append("%s is a defect: it needs a test that we do not have it" % name)
        problems += ["%s names a test twice: %s" % (name, test) for test in set(row["tests"]) if row["tests"].count(test) > 1]
    return problems


def carried(test):
    """The rules whose numbers a test's name has: "C4.4, C4.5: ..." and "C5.5 to C5.12: ..."."""
    rules = set(re.findall(r"\bC\d+\.\d+\b", test))
    for section, first, other, last in re.findall(r"\bC(\d+)\.(\d+) to C(\d+)\.(\d+)\b", test):
        if section == other:
            rules |= {"C%s.%d" % (section, rule) for rule in range(int(first), int(last) + 1)}
    return rules


def rule_problems(rows):
    problems = ["%s has a reason, and a rule needs a test" % name for name, row in rows.items() if row["reasons"]]
    return problems + ["%s has no test that carries its number" % name for name, row in rows.items()
                       if not any(name in carried(test) for test in row["tests"])]


def document_problems(text, document):
    """(rows, problems) of what a document says of itself."""
    rows, problems = parse(text)
    problems += row_problems(rows, document.rows)
    return rows, problems + (rule_problems(rows) if document.are_rules else [])


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


def names_of_ctest(build):
    listing = subprocess.run(["ctest", "--test-dir", str(build), "-N"], stdout=subprocess.PIPE, check=True)
    return ctest_names(listing.stdout.decode())


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


def completed(text, names):
    """The document with each of these tests under every rule whose number it carries."""
    rows, _ = parse(text)
    out, tests = [], []
    for line in text.split("\n"):
        start = re.match(r"- \*\*([^*]+)\*\*", line)
        if start or not line.startswith("  "):
            out += ["  - `%s`" % test for test in tests]
            tests = []
        if start:
            rule = start.group(1)
            tests = sorted(name for name in names if rule in carried(name) and name not in rows[rule]["tests"])
        out.append(line)
    return "\n".join(out)


def with_outcomes(text, results):
    """The document with what became of each test."""
    return re.sub(r"^(  - `([^`]+)`)$", lambda line: "%s %s" % (line.group(1), results.get(line.group(2), "was not run")), text, flags=re.M)


def complete(root, build):
    for document in DOCUMENTS:
        if document.are_rules:
            file = root / document.path
            file.write_text(completed(file.read_text(), names_of_ctest(build)))


def check(root, known, missing):
    """Prints what is wrong with each document. How many rows are right, and how many things wrong."""
    passed = failed = 0
    for document in DOCUMENTS:
        rows, problems = document_problems((root / document.path).read_text(), document)
        problems += missing(rows, known)
        for problem in problems:
            print("%s: %s" % (document.path, problem))
        proven = sum(1 for row in rows.values() if row["tests"])
        print("%s: %d rows: %d by tests, %d by a reason alone" % (document.path, len(rows), proven, len(rows) - proven))
        passed += max(0, len(rows) - len(problems))
        failed += len(problems)
    return passed, failed


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ("listed", "ran", "complete"):
        print(__doc__, file=sys.stderr)
        return 2
    command, root, place = arguments[0], pathlib.Path(arguments[1]), pathlib.Path(arguments[2])
    if command == "complete":
        complete(root, place)
        return 0
    if command == "listed":
        return 1 if check(root, names_of_ctest(place), listed_problems)[1] else 0
    results = all_results(place)
    passed, failed = check(root, results, ran_problems)
    for document in DOCUMENTS:
        file = root / document.path
        (place / file.name).write_text(with_outcomes(file.read_text(), results))
    print("compatibility: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
