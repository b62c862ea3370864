"""What is wrong with one case, in words."""


class CaseError(ValueError):
    """A file breaks a rule: which file, which rule, what was found, and what to do about it."""

    def __init__(self, file: str, rule: str, found: str, remedy: str) -> None:
        super().__init__(file, rule, found, remedy)  # all of them, so that the error survives pickling between processes
        self.file = file
        self.rule = rule
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}; {self.found}; {self.remedy}"
