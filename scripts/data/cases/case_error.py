"""What is wrong with one case, in words."""


class CaseError(ValueError):
    """A file breaks a rule: which file, which rule, what was found, and what to do about it.

    Args:
        file: the path, as it is shown.
        rule: what must hold, in words.
        found: what is there instead.
        remedy: what to do about it.

    Example:
        >>> from scripts.data import CaseError
        >>> print(CaseError("scan.nii.gz", "an image must have contrast", "every voxel is 0", "export it again"))
        scan.nii.gz: an image must have contrast; every voxel is 0; export it again
    """

    def __init__(self, file: str, rule: str, found: str, remedy: str) -> None:
        super().__init__(file, rule, found, remedy)  # all of them, so that the error survives pickling between processes
        self.file = file
        self.rule = rule
        self.found = found
        self.remedy = remedy
        self.mask: str | None = None  # the path of one that was written all the same, and holds

    def __str__(self) -> str:
        return f"{printable(self.file)}: {self.rule}; {self.found}; {self.remedy}"


def cause_of(error: BaseException) -> BaseException:
    """The CaseError among the causes of an error, which MONAI and ignite wrap in their own; else the first cause."""
    while not isinstance(error, CaseError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def printable(text: str) -> str:
    """File names may hold line breaks and bytes that no terminal can show: they are escaped, so that a line stays a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """An error of another library, as part of a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
