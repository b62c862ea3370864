"""Cases -> each of them read and prepared, or the reason why it cannot be, or its mask where that is finished already."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from monai.data import Dataset, ThreadDataLoader
from monai.data.utils import no_collation

from ...basics.case import Case


class Records(Protocol):
    def begin(self, case: Case) -> dict[str, Any]: ...
    def finished(self, case: Case, record: dict[str, Any]) -> str | None: ...


class Tried(NamedTuple):
    """record: of what the mask is going to be made; then one of data, mask (its path) and error."""

    case: Case
    record: Mapping[str, Any] = MappingProxyType({})
    data: dict[str, Any] | None = None
    mask: str | None = None
    error: Exception | None = None


class TriedCases(Dataset):
    """One `Tried` for each case: an exception of one costs no other, also in a loader's worker."""

    def __init__(self, data: Sequence[Case], transform: Callable[[Case], Mapping[str, Any]], records: Records) -> None:
        super().__init__(data, transform)
        self.records = records

    def __getitem__(self, index: int) -> Tried:
        case = self.data[index]
        try:
            record = self.records.begin(case)
            if mask := self.records.finished(case, record):
                return Tried(case, record, mask=mask)
            return Tried(case, record, data=dict(self.transform(case)))
        except Exception as error:  # whatever a file triggers
            return Tried(case, error=error)


def read_ahead(dataset: Dataset, num_workers: int) -> ThreadDataLoader:
    """One item after the other, while threads read the next ones: the volumes in memory are at most two more than threads.

    Threads, since whole volumes would not fit into the shared memory that containers give to processes; decompression and
    most transforms let other threads run.

    num_workers: threads; of 0 a single one reads ahead.
    """
    prefetch = {"prefetch_factor": 1, "use_thread_workers": True} if num_workers else {}
    return ThreadDataLoader(dataset, batch_size=None, collate_fn=no_collation, num_workers=num_workers, **prefetch)
