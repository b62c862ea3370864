"""What is known of a network -> the card of its package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .package_metadata import RANDOM, Encoder, channels_of


def model_card(
    name: str,
    about: Mapping[str, Any],
    metadata: Mapping[str, Any],
    encoder: Encoder | None,
    networks: int,
    metrics: Mapping[str, Any] | None,
    has_report: bool,
    has_list: bool,
) -> str:
    """Markdown. metrics: of metrics.json. has_list: whether the encoder's weights can be fetched."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  Markdown
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"figure": _figure, "interval": _interval}
    channels = channels_of(about)
    return pages.get_template("card.md").render(
        name=name,
        about=about,
        metadata=metadata,
        encoder=encoder,
        networks=networks,
        metrics=metrics,
        has_report=has_report,
        has_list=has_list,
        random=RANDOM,
        structures=channels if about["regions"] else channels[1:],
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
