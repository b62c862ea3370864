"""Cases -> each of them read and prepared, or the reason why it cannot be, or its mask where that is finished already."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from monai.data import Dataset

from ...basics.case import NamedCase, file_of
from ..formats.image_file import Note
from .annotated import notes_on_annotation
from .read_case import doubts_of


class Records(Protocol):
    def begin(self, case: NamedCase) -> dict[str, Any]: ...
    def finished(self, case: NamedCase, record: dict[str, Any]) -> str | None: ...


class Tried(NamedTuple):
    """record: of what the mask is going to be made; then one of data, mask (its path) and error. notes: what is in doubt."""

    case: NamedCase
    record: Mapping[str, Any] = MappingProxyType({})
    data: dict[str, Any] | None = None
    mask: str | None = None
    error: Exception | None = None
    notes: Sequence[tuple[str, Note]] = ()


class TriedCases(Dataset):
    """One `Tried` for each case: an exception of one costs no other, also in a thread of `ReadAhead`.

    Args:
        data: cases.
        transform: reads and prepares a case.
        records: knows which masks are finished; their cases are not read.

    Example:
        >>> from types import SimpleNamespace
        >>> from scripts.data import TriedCases
        >>> records = SimpleNamespace(begin=lambda case: {}, finished=lambda case, record: None)
        >>> cases = TriedCases([{"image": "a.nii"}, {"image": 5}], lambda case: {"image": case["image"].upper()}, records)
        >>> cases[0].data
        {'image': 'A.NII'}
        >>> cases[1].data, type(cases[1].error)
        (None, <class 'RuntimeError'>)
    """

    transform: Callable[[NamedCase], Mapping[str, Any]]  # a Compose, which by its own types may return anything

    def __init__(
        self, data: Sequence[NamedCase], transform: Callable[[NamedCase], Mapping[str, Any]], records: Records
    ) -> None:
        super().__init__(data, transform)
        self.records = records

    def __getitem__(self, index: int) -> Tried:
        case = self.data[index]
        try:
            record = self.records.begin(case)
            if mask := self.records.finished(case, record):
                return Tried(case, record, mask=mask)
            data = dict(self.transform(case))
            if "opened" in case:
                case["opened"].require_unchanged()
            return Tried(case, record, data=data, notes=[*doubts_of(data, file_of(case)), *notes_on_annotation(case)])
        except Exception as error:  # whatever a file triggers
            return Tried(case, error=error)


class ReadAhead:
    """One item after the other, while threads read the next ones: the volumes in memory are at most two more than threads.

    Threads, since whole volumes would not fit into the shared memory that containers give to processes; decompression and
    most transforms let other threads run. They are not those of torch's and MONAI's loaders, which in the whole process keep
    torch to one core and answer SIGTERM in their own way.

    Args:
        dataset: whatever has a length and items.
        num_workers: threads; of 0 a single one reads ahead.

    Example:
        >>> from monai.data import Dataset
        >>> from scripts.data import ReadAhead
        >>> list(ReadAhead(Dataset([1, 2, 3], lambda number: 10 * number), num_workers=2))
        [10, 20, 30]
    """

    def __init__(self, dataset: Dataset, num_workers: int) -> None:
        self.dataset = dataset
        self.threads = max(num_workers, 1)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Any]:
        pool = ThreadPoolExecutor(self.threads, "reading")
        waiting: deque[Future[Any]] = deque()
        try:
            for index in range(len(self.dataset)):
                waiting.append(pool.submit(self.dataset.__getitem__, index))
                if len(waiting) > self.threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
