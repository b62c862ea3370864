"""Labelled cases -> the frozen encoder's embeddings of each, in several views, computed once and stored."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from monai.transforms import Compose, Randomizable, Transform
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...basics.case import Case
from ...basics.contracts import is_on_embeddings
from ...files.file_digest import digest, file_digest
from ..cases.annotated import annotation_of
from ..cases.case_error import CaseError
from ..cases.open_case import headers_of
from ..preprocessing.preprocessing_digest import preprocessing_digest
from .embedding_store import EmbeddingStore

logger = logging.getLogger(__name__)


class EmbeddingCache:
    """Fills a store with one entry for each case and view: `embedding` (D, C, h, w) in half precision, `label` (D, H, W), and
    `counts` (D, K) of voxels of each class; for a network with detail `image` (D, M, H, W) in half precision too.

    The key of an entry covers whatever it depends on: the bytes of the image and the label, the encoder's weights, every
    parameter of the preprocessing and the view, the code of their classes and of this one, the kind of device, and the versions
    of MONAI, torch and nibabel. So nothing stale is used: what has changed has another key, and the old entry lies unused until
    it is cleared (`sam3d cache`). A function handed to a transform is known by its name alone.

    Args:
        cases: with `image` and `label`, files.
        preprocessing: transforms of both, deterministic, that end in what the encoder sees; all volumes in one size in the
            plane.
        views: for each view the transforms that follow, deterministic; an empty list is the volume as it is.
        network: of a frozen slice encoder and a decoder.
        device: where the encoder runs.
        store: where the entries are kept.
        num_workers: processes that read and preprocess.
        ignore_index: class of the voxels to be ignored, which count neither as labelled nor as background.

    Raises:
        ValueError: for a network without a frozen slice encoder, no view, or a view that is not deterministic.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import EmbeddingCache, EmbeddingStore, ReadCased, read_datalist
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 1, "validation": 1}, shape=(32, 48, 8))
        ...     cases = read_datalist(folder)["training"].cases
        ...     store = EmbeddingStore(Path(folder) / "embeddings")
        ...     cache = EmbeddingCache(cases, [ReadCased(1, LABELS)], [[]], network, "cpu", store)
        ...     cache.fill()
        ...     ((key,),) = cache.keys.values()
        ...     tuple(store.read(key, "embedding").shape)
        (8, 256, 2, 3)
    """

    def __init__(
        self,
        cases: Sequence[Case],
        preprocessing: Sequence[Transform],
        views: Sequence[Sequence[Transform]],
        network: object,
        device: torch.device | str,
        store: EmbeddingStore,
        num_workers: int = 0,
        ignore_index: int | None = None,
    ) -> None:
        if not is_on_embeddings(network):
            raise ValueError("this network has no slice encoder whose embeddings could be cached; omit --cached (cached.yaml)")
        encoder = network.encoder
        if encoder.trained:
            raise ValueError(
                "embeddings can be cached only while all of the encoder is frozen; omit --cached (cached.yaml), or the overlay "
                "that trains it (train_encoder, two_stage, last_blocks, lora, depth_adapter)"
            )
        if not views:
            raise ValueError("cached_views must hold at least one view; the volume as it is: [[]]")
        pipelines = [Compose([*preprocessing, *view]).flatten() for view in views]
        steps = [step for pipeline in pipelines for step in pipeline.transforms]
        if randomized := sorted({type(step).__name__ for step in steps if isinstance(step, Randomizable)}):
            raise ValueError(f"cached views must be deterministic, {', '.join(randomized)} is not")
        self.cases = {name_of(case): case for case in cases}
        self.pipelines = pipelines
        self.encoder = encoder
        self.with_pixels = network.detail is not None
        self.levels = tuple(encoder.levels)
        self.device = torch.device(device)
        self.store = store
        self.num_workers = num_workers
        self.ignore_index = ignore_index
        self.keys: dict[str, list[str]] = {}  # of each case the key of every view
        self._recipes = [
            digest(
                self.device.type,
                f"pixels: {self.with_pixels}, ignored: {self.ignore_index}",
                preprocessing_digest(pipeline.transforms, self, *encoder.modules()),
            )
            for pipeline in pipelines
        ]

    def fill(self) -> None:
        """Computes what is missing or damaged; several processes share the work on one folder. Raises CaseError or OSError."""
        encoder = bytes(self.encoder.sha256().tolist()).hex()
        bar = tqdm(self.cases.items(), desc="hashing files", unit="case", disable=idist.get_rank() > 0, dynamic_ncols=True)
        for name, case in bar:
            opened = headers_of(case)
            contents = [file_digest(file) for file in (*opened.image_files, *opened.label_files)]
            self.keys[name] = [digest(encoder, recipe, *contents, *annotation_of(case)) for recipe in self._recipes]
        # View by view, so that processes get equal shares also of a single view that changed.
        wanted = [(name, view) for view in range(len(self.pipelines)) for name in self.cases]
        if not self.store.in_memory:
            wanted = wanted[idist.get_rank() :: idist.get_world_size()]
        bar = tqdm(wanted, desc="checking embeddings", unit="volume", disable=idist.get_rank() > 0)
        missing = [(name, view) for name, view in bar if not self.store.is_whole(self.keys[name][view])]
        self._compute(missing, encoder)
        idist.barrier()

    def _compute(self, missing: list[tuple[str, int]], encoder: str) -> None:
        written = 0
        volumes = DataLoader(_Prepared(self.cases, self.pipelines, missing), batch_size=None, num_workers=self.num_workers)
        bar = tqdm(
            volumes, desc="encoding", unit="volume", total=len(missing), disable=idist.get_rank() > 0, dynamic_ncols=True
        )
        for done, ((name, view), volume) in enumerate(zip(missing, bar, strict=True)):
            label = _small(volume["label"])
            image = str(self.cases[name]["image"])
            counts = _counts(label, self.ignore_index)
            tensors = {"embedding": self._encode(volume["image"], image), "label": label, "counts": counts}
            if self.with_pixels:
                tensors["image"] = volume["image"].movedim(-1, 0).half().contiguous()
            self.store.check_room(sum(tensor.nbytes for tensor in tensors.values()))
            written += self.store.put(self.keys[name][view], tensors, {"image": image, "view": str(view), "encoder": encoder})
            if done == 0:
                logger.info("the first of %d embeddings takes %.3g GB", len(missing), written / 1e9)
        place = "in memory" if self.store.in_memory else self.store.folder
        logger.info("%d embeddings computed (%.3g GB), %s", len(missing), written / 1e9, place)

    def _encode(self, image: torch.Tensor, name: str) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            embedding = self.encoder(image[None].to(self.device))
        embedding = embedding[0].movedim(-1, 0).half().cpu().contiguous()  # (D, C, h, w)
        if not torch.isfinite(embedding).all():
            found = "some numbers are infinite or NaN"
            raise CaseError(name, "embeddings must fit into half precision", found, "train without cached.yaml")
        return embedding


class _Prepared(Dataset[dict[str, torch.Tensor]]):
    """(case, view) -> its preprocessed image and label, in a loader's worker: holds no encoder."""

    def __init__(
        self, cases: Mapping[str, Case], pipelines: Sequence[Callable[[Case], Any]], wanted: list[tuple[str, int]]
    ) -> None:
        self.cases = cases
        self.pipelines = pipelines
        self.wanted = wanted

    def __len__(self) -> int:
        return len(self.wanted)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        name, view = self.wanted[index]
        volume = self.pipelines[view](self.cases[name])
        return {key: volume[key].as_subclass(torch.Tensor) for key in ("image", "label")}


def _small(label: torch.Tensor) -> torch.Tensor:
    """(1, H, W, D) -> (D, H, W) in the smallest type that holds it."""
    smallest = torch.uint8 if label.min() >= 0 and label.max() <= 255 else torch.int32
    return label[0].movedim(-1, 0).to(smallest).contiguous()


def _counts(label: torch.Tensor, ignore_index: int | None) -> torch.Tensor:
    """(D, H, W) -> (D, K): voxels of each class in every slice, up to the last class that is there; the background in label
    sets too."""
    number = int(label.max().clamp(min=0)) + 1
    counts = torch.stack([torch.bincount(part.clamp(min=0).flatten(), minlength=number) for part in label])
    return counts[:, :ignore_index].contiguous()  # the class of voxels to be ignored comes after all others


def name_of(case: Mapping[Any, Any]) -> str:
    """Tells cases apart: the same image may be listed with the labels of two readers."""
    return json.dumps([case["image"], case["label"]], ensure_ascii=False)
