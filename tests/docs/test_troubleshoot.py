"""docs/troubleshoot.md against the code: no refusal of a case without its line, no line without its message."""

import ast
import re
from collections.abc import Iterator

from conftest import ROOT

PAGE = ROOT / "docs" / "troubleshoot.md"
PRODUCT = [path for path in sorted((ROOT / "scripts").rglob("*.py")) if "research" not in path.relative_to(ROOT).parts]
ARGUMENTS = {"CaseError": 4, "refuse": 4, "Note": 2}  # file, rule, found and remedy; rule and found
ANYTHING = "..."


def words_of(text: ast.expr) -> list[str]:
    """What an expression may say, `...` for what is put in; empty if it is not written there."""
    match text:
        case ast.Constant(value=str(words)):
            return [words]
        case ast.JoinedStr(values=parts):
            return ["".join(part.value if isinstance(part, ast.Constant) else ANYTHING for part in parts)]
        case ast.IfExp(body=body, orelse=other):
            return words_of(body) + words_of(other)
    return []


def assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Name -> all that a module assigns to it."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(value)
    return found


def takers(tree: ast.Module, parameter: str) -> set[str]:
    """The functions that have a parameter of this name."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if parameter in {node.arg for node in function.args.args}}


def rules_in(source: str) -> Iterator[str]:
    """The rules by which a module refuses a case, or notes something odd about it."""
    tree = ast.parse(source)
    names = assigned(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        if len(call.args) != ARGUMENTS.get(name):
            assert name != "CaseError", f"{ast.unparse(call)}: this test reads four arguments in order"
            continue
        rule = call.args[0 if name == "Note" else 1]
        expressions = names.get(rule.id, []) if isinstance(rule, ast.Name) else [rule]
        rules = [words for expression in expressions for words in words_of(expression)]
        # A rule that is handed on is read where it is handed in.
        handed_on = isinstance(rule, ast.Name) and {"refuse"} == takers(tree, rule.id)
        assert rules or handed_on, f"{ast.unparse(rule)} of {ast.unparse(call)} is not written where this test can read it"
        yield from rules


def cells(page: str, heading: str) -> list[str]:
    """The first column of every table that is headed so."""
    found, inside = [], False
    for line in page.splitlines():
        inside = line.startswith("|") and (inside or line.startswith(f"| {heading} |"))
        if inside:
            found.append(line.split(" | ")[0].removeprefix("| "))
    return [cell for cell in found if cell != heading and not cell.startswith("|---")]


def pattern(cell: str) -> str:
    return ".+".join(map(re.escape, cell.split(ANYTHING)))


def missing_from(page: str, rules: set[str]) -> list[str]:
    patterns = [pattern(cell) for cell in cells(page, "rule")]
    return sorted(rule for rule in rules if not any(re.fullmatch(line, rule) for line in patterns))


def all_rules() -> set[str]:
    return {rule for path in PRODUCT for rule in rules_in(path.read_text())}


def test_every_rule_by_which_a_case_is_refused_or_noted_has_a_line() -> None:
    assert len(all_rules()) > 80
    assert missing_from(PAGE.read_text(), all_rules()) == []


def test_a_new_rule_without_a_line_is_found() -> None:
    source = """
def check(file, size):
    raise CaseError(file, "an image must be blue", "it is red", "paint it")

def check_more(file, size):
    rule, remedy = f"an image must have {size} wheels", "add some"
    found.refuse(file, rule, "it has none", remedy)
"""
    new = set(rules_in(source))
    assert new == {"an image must be blue", "an image must have ... wheels"}
    assert missing_from(PAGE.read_text(), new) == sorted(new)


def test_every_rule_on_the_page_is_one_of_the_code() -> None:
    rules = all_rules()
    assert [cell for cell in cells(PAGE.read_text(), "rule") if not any(re.fullmatch(pattern(cell), r) for r in rules)] == []


def test_every_message_on_the_page_is_one_of_the_code() -> None:
    said = [words for path in PRODUCT for node in ast.walk(ast.parse(path.read_text())) for words in words_of(node)]
    messages = cells(PAGE.read_text(), "message")
    assert len(messages) > 50
    assert [cell for cell in messages if not any(re.search(pattern(cell), words) for words in said)] == []
