"""A DICOM node: an archive sends a series, and gets its mask back."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .dicom_peer import Peer, title

INCOMING = ".sam3d_incoming"  # below the output, emptied at the start and at the end of each series


def serve_dicom(
    checkpoint: options.Checkpoints,
    senders: Annotated[
        list[str],
        typer.Option("--from", parser=options.refusing(title), metavar="AET", help="Who may send; may be repeated."),
    ],
    to: Annotated[
        Any,
        typer.Option(
            "--to",
            parser=options.refusing(Peer.read),
            metavar="AET@HOST:PORT",
            help="Who gets the masks, such as ORTHANC@127.0.0.1:4242.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(parser=options.path, metavar="FOLDER", help="Of the masks, a folder for each series.")
    ] = Path("dicom_masks"),
    aet: Annotated[str, typer.Option(parser=options.refusing(title), metavar="AET", help="Our own AE title.")] = "SAM3D",
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Of the network card to listen at; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="To listen at.")] = 11112,
    quiet: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="A series is whole when so long nothing more of it came.")
    ] = 10,
    encoder_weights: options.EncoderWeights = None,
    overlay: options.Overlays = None,
    tta: options.Tta = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="ID=VALUE", help="Any other id, as of sam3d segment; may be repeated.")
    ] = None,
) -> None:
    """Receive DICOM series, segment them, and send DICOM Segmentation objects back.

    \b
        sam3d serve-dicom --checkpoint runs/mine/model.pt --from ORTHANC --to ORTHANC@127.0.0.1:4242

    A DICOM node (Storage SCP and SCU) for the archive of a hospital or a laboratory. It runs until it is stopped, by Ctrl-C or
    SIGTERM. A series that cannot be segmented is refused in the log, and the others go on. See docs/dicom.md.
    """
    if find_spec("pynetdicom") is None:
        raise ModuleNotFoundError(
            "a DICOM node needs the package pynetdicom, which is not installed; pip install 'sam3d-bundle[dicom]'"
        )
    import logging
    import sys

    from ..files.folder_lock import lock_folder
    from .dicom_inbox import Inbox
    from .dicom_node import DicomNode

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    lock_folder(output)
    words = [word for file in checkpoint for word in ("--checkpoint", str(file))]
    words += ["--encoder-weights", encoder_weights] if encoder_weights else []
    words += [word for file in overlay or () for word in ("--overlay", str(file))]
    words += ["--tta", tta] if tta else []
    words += [word for setting in settings or () for word in ("--set", setting)]
    node = DicomNode(Inbox(output / INCOMING, aet, senders, quiet), words, output, aet, to)
    node.segment(output, output / INCOMING, "--dry-run")  # what is wrong with a word is said before the first series
    with node.inbox.listening(host, port) as found:
        logging.info("%s listens at %s:%d for %s, and sends masks to %s", aet, host, found, ", ".join(senders), node.to)
        node.run()
