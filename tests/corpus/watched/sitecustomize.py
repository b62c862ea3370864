"""Python's start -> a line in the file WATCHED_LOG for each file that is opened, program started and address connected to."""

import os
import sys

EVENTS = {"open", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
log = os.open(os.environ["WATCHED_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def watch(event: str, details: tuple) -> None:
    if event in EVENTS and not (event == "open" and isinstance(details[0], int)):
        name = os.fsencode(details[0]) if isinstance(details[0], str | bytes | os.PathLike) else repr(details).encode()
        os.write(log, event.encode() + b"\0" + name + b"\0\0")


sys.addaudithook(watch)
