#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The check of what tests prove in docs/ catches what it is for. Plain asserts: Python's smallest library has no unittest."""

import proofs

DOCUMENT = """# Compatibility

Text, and a list that is no row:

* of another kind

- **LA-01** What we do,
  on two lines.
  - `a_tests: one`
  - No test: of the other half, which the compiler proves
    on a second line.
- **LA-02** (defect) We do not.
  - `interop: login: by hand`

## Next

- **LA-03** Left out.
  - Not done: nobody needs it.
"""
WANTED = ["LA-01", "LA-02", "LA-03"]
PASSED = {"a_tests: one": "passed", "interop: login: by hand": "passed"}


def problems(text):
    rows, found = proofs.parse(text)
    return found + proofs.row_problems(rows, WANTED)


def test_rows():
    rows, found = proofs.parse(DOCUMENT)
    assert found == [] and problems(DOCUMENT) == []
    assert rows["LA-01"]["text"] == "What we do, on two lines."
    assert rows["LA-01"]["tests"] == ["a_tests: one"] and rows["LA-01"]["reasons"] == ["No test"]
    assert rows["LA-02"]["defect"] and not rows["LA-01"]["defect"]


def test_rows_that_are_wrong():
    assert problems(DOCUMENT.replace("LA-03", "LA-04")) == ["LA-03 is not there", "LA-04 is no row of this document"]
    assert len(problems(DOCUMENT.replace("LA-02", "LA-01"))) >= 2
    assert len(problems(DOCUMENT.replace("LA-01", "LA-x").replace("LA-02", "LA-01").replace("LA-x", "LA-02"))) == 1
    assert len(problems(DOCUMENT.replace("  - Not done: nobody needs it.\n", ""))) == 1
    assert len(problems(DOCUMENT.replace("Not done: nobody", "Later: nobody"))) == 2
    assert len(problems(DOCUMENT.replace("Not done: nobody needs it.", "Not done:"))) == 2
    assert len(problems(DOCUMENT.replace("  - `interop: login: by hand`", "  - No test: it is plain"))) == 1
    assert len(problems(DOCUMENT.replace("`a_tests: one`\n", "`a_tests: one`\n  - `a_tests: one`\n"))) == 1
    assert len(problems(DOCUMENT.replace("- **LA-03** Left out.", "- LA-03 Left out."))) == 2


def test_tests_that_are_not_listed():
    rows, _ = proofs.parse(DOCUMENT)
    names = proofs.ctest_names("Test project /x\n  Test  #1: a_tests: one\n  Test #10: b_tests: two\n\nTotal Tests: 2\n")
    assert names == {"a_tests: one", "b_tests: two"}
    assert proofs.listed_problems(rows, names) == []
    assert len(proofs.listed_problems(rows, {"a_tests: one more"})) == 1


def test_tests_that_did_not_pass():
    rows, _ = proofs.parse(DOCUMENT)
    assert proofs.ran_problems(rows, PASSED) == []
    assert proofs.ran_problems(rows, {**PASSED, "a_tests: one": "failed"}) == ["LA-01: a_tests: one failed"]
    assert proofs.ran_problems(rows, {"a_tests: one": "passed"}) == ["LA-02: interop: login: by hand was not run"]
    assert len(proofs.ran_problems(rows, {**PASSED, "a_tests: one": "was skipped"})) == 1


PROFILE = proofs.Document("profile.md", ["C1.1", "C1.2", "C2.1"], True)
RULES = """# Profile

- **C1.1** What is done.
  - `a_tests: C1.1, C1.12: one`
- **C1.2** More.
  - `a_tests: C1.2 to C1.4: two`
- **C2.1** The last.
  - `a_tests: of no rule`
  - `interop: C2.1: by hand`
"""


def rule_problems(text):
    return proofs.document_problems(text, PROFILE)[1]


def test_numbers_that_a_test_carries():
    assert proofs.carried("a_tests: C1.1, C1.12: one") == {"C1.1", "C1.12"}
    assert proofs.carried("C5.9 to C5.11: x") == {"C5.9", "C5.10", "C5.11"}
    assert proofs.carried("C5.9 to C6.11: x") == {"C5.9", "C6.11"}
    assert proofs.carried("AC1.1, C1.1a, C4, 1.1: x") == set()


def test_rules_without_a_test_of_their_number():
    assert rule_problems(RULES) == []
    assert rule_problems(RULES.replace("C1.1, C1.12", "C1.12")) == ["C1.1 has no test that carries its number"]
    assert rule_problems(RULES.replace("C1.2 to C1.4", "C1.3 to C1.4")) == ["C1.2 has no test that carries its number"]
    assert rule_problems(RULES.replace("  - `interop: C2.1: by hand`\n", "")) == ["C2.1 has no test that carries its number"]
    assert rule_problems(RULES + "  - No test: it is plain.\n") == ["C2.1 has a reason, and a rule needs a test"]
    assert len(rule_problems(RULES.replace("- **C2.1** The last.\n", ""))) >= 1


def test_the_rules_of_the_profile():
    assert len(proofs.RULES) == 113 and proofs.RULES[0] == "C1.1" and proofs.RULES[-1] == "C11.6"


def test_rows_are_completed():
    names = ["a_tests: C1.1, C1.12: one", "b_tests: C1.1, C2.1: new", "b_tests: C1.1: first", "b_tests: none"]
    done = proofs.completed(RULES, names)
    assert done == (RULES.replace("C1.12: one`\n", "C1.12: one`\n  - `b_tests: C1.1, C2.1: new`\n  - `b_tests: C1.1: first`\n")
                    .replace("C2.1: by hand`\n", "C2.1: by hand`\n  - `b_tests: C1.1, C2.1: new`\n"))
    assert proofs.completed(done, names) == done


def test_outcomes_in_the_document():
    shown = proofs.with_outcomes(RULES, {"a_tests: C1.1, C1.12: one": "passed"})
    assert "  - `a_tests: C1.1, C1.12: one` passed\n" in shown
    assert "  - `interop: C2.1: by hand` was not run\n" in shown
    assert shown.count("\n") == RULES.count("\n")


CTEST = """<?xml version="1.0"?>
<testsuite name="(empty)" tests="4" failures="1">
  <testcase name="a_tests: &lt;one&gt; &amp; &quot;two&quot;" classname="a_tests: one" time="0.1" status="run">
    <properties/><system-out>it printed &lt;failure/&gt;</system-out>
  </testcase>
  <testcase name="a_tests: bad" classname="a_tests: bad" time="0.1" status="fail">
    <failure message=""/><system-out></system-out>
  </testcase>
  <testcase name="a_tests: left out" classname="a_tests: left out" time="0" status="notrun">
    <skipped message="SKIP_RETURN_CODE=4"/>
  </testcase>
  <testcase name="a_tests: disabled" classname="x" time="0" status="disabled"></testcase>
</testsuite>
"""
NODE = """<testsuites>
  <testsuite name="login [x]" tests="4">
    <testcase name="by hand -&gt; &apos;ok&#x27;" time="0.1" classname="test"/>
    <testsuite name="inner"><testcase name="deep" classname="test"/></testsuite>
    <testcase name="bad" classname="test" failure="no"><failure message="no">text</failure></testcase>
    <testcase name="left out" classname="test"><skipped type="skipped" message="true"/></testcase>
  </testsuite>
  <testcase name="alone" classname="test"/>
  <testsuite name="again"><testcase name="twice" classname="test"><failure/></testcase></testsuite>
  <testsuite name="again"><testcase name="twice" classname="test"/></testsuite>
  <testsuite name="once"><testcase name="skipped" classname="test"><skipped/></testcase></testsuite>
  <testsuite name="once"><testcase name="skipped" classname="test"/></testsuite>
</testsuites>
"""


def test_results():
    assert proofs.junit_results(CTEST) == {
        'a_tests: <one> & "two"': "passed",
        "a_tests: bad": "failed",
        "a_tests: left out": "was skipped",
        "a_tests: disabled": "was skipped",
    }
    assert proofs.junit_results(NODE) == {
        "interop: login [x]: by hand -> 'ok'": "passed",
        "interop: login [x]: inner: deep": "passed",
        "interop: login [x]: bad": "failed",
        "interop: login [x]: left out": "was skipped",
        "interop: alone": "passed",
        "interop: again: twice": "failed",
        "interop: once: skipped": "passed",
    }
    assert proofs.junit_results("") == {}


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
for test in TESTS:
    test()
print("%d passed" % len(TESTS))
