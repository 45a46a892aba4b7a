#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules for documents catch what they are for. Plain asserts: Python's smallest library has no unittest."""

import documents

DEV = 'verb_test() { :; }\nverb_demo() { :; }\nverb_lost() { :; }\ncase $verb in\n  demo | test) "verb_$verb" "$@" ;;\nesac\n'
EXAMPLE = "// SPDX-License-Identifier: MIT\nint main() {}\n"
README = "# x\n\n    ./dev demo\n    ./dev test\n\n## Library\n```cpp\nint main() {}\n```\n"


def test_links():
    tree = {"README.md": "# Top\n", "docs": "", "docs/a.md": "# One thing\n## `code` and more\n"}

    def broken(text, path="README.md"):
        return documents.broken_links(path, text, tree.get)

    assert broken("[a](docs/a.md) [b](docs) [c](https://example.org/x)") == []
    assert broken("# Here\n[a](docs/a.md#one-thing) [b](docs/a.md#code-and-more) [c](#here)") == []
    assert broken("[a](../README.md#top)", "docs/b.md") == []
    assert broken("`[a](b.md)`\n```\n[a](b.md)\n```\n") == []
    assert len(broken("[a](b.md)")) == 1
    assert len(broken("[a](docs/a.md#two)")) == 1
    assert len(broken("[a](#bottom)")) == 1
    assert len(broken("[a](../README.md)")) == 1


def test_verbs():
    assert documents.verbs(DEV) == {"demo", "test"}
    assert documents.unknown_verbs("run ./dev test and `./dev demo --server x`", {"test", "demo"}) == []
    assert len(documents.unknown_verbs("run ./dev dance", {"test", "demo"})) == 1


def test_readme():
    assert documents.readme_problems(README, DEV, EXAMPLE) == []
    assert len(documents.readme_problems(README.replace("./dev demo", "./demo"), DEV, EXAMPLE)) == 1
    assert len(documents.readme_problems(README.replace("    ./dev test\n", "") + "\n    ./dev test\n", DEV, EXAMPLE)) == 1
    assert len(documents.readme_problems(README, DEV.replace("demo | test", "test"), EXAMPLE)) == 1
    assert len(documents.readme_problems(README.replace("main() {}", "main() { }"), DEV, EXAMPLE)) == 1


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
for test in TESTS:
    test()
print("%d passed" % len(TESTS))
