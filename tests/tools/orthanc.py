"""A PACS for tests: Debian's Orthanc on free ports of this machine, empty, with DICOMweb, and gone afterwards."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PROGRAM = shutil.which("Orthanc")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MISSING = None if PROGRAM and DICOMWEB.is_file() else "needs a PACS: apt-get install orthanc orthanc-dicomweb"
PATIENCE = 30  # seconds


class Orthanc:
    def __init__(self, http: int, dicom: int) -> None:
        self.url, self.dicom = f"http://127.0.0.1:{http}", dicom

    def get(self, path: str) -> requests.Response:
        response = requests.get(f"{self.url}/{path}", timeout=PATIENCE)
        response.raise_for_status()
        return response

    def post(self, path: str, content: bytes | dict[str, Any]) -> Any:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        response = requests.post(f"{self.url}/{path}", data, timeout=PATIENCE)
        response.raise_for_status()
        return response.json()

    def knows(self, aet: str, port: int) -> None:
        modality = {"AET": aet, "Host": "127.0.0.1", "Port": port}
        requests.put(f"{self.url}/modalities/{aet}", json.dumps(modality).encode(), timeout=PATIENCE).raise_for_status()

    def version(self) -> str:
        return self.get("system").json()["Version"]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    http, dicom = free_ports(2)
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "DicomCheckModalityHost": False,
        "DicomCheckCalledAet": True,
        "Plugins": [str(DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    assert PROGRAM
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "orthanc.json")], stdout=log, stderr=log)
    orthanc = Orthanc(http, dicom)
    try:
        for _ in range(PATIENCE * 10):
            try:
                orthanc.version()
                break
            except requests.ConnectionError:
                assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
                time.sleep(0.1)
        yield orthanc
    finally:
        process.kill()  # it would take seconds to end by itself
        process.wait()
