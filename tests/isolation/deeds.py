"""What workers are asked to do in the tests: handlers run in other processes, by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def do(payload):
    """[verb, argument] -> answer."""
    verb, argument = payload
    if verb == "echo":
        return argument
    if verb == "sleep":
        time.sleep(argument)
    elif verb == "spin":
        while True:
            pass
    elif verb == "exit":
        os._exit(argument)
    elif verb == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif verb == "raise":
        raise ValueError(argument)
    elif verb == "system_exit":
        sys.exit(argument)
    elif verb == "allocate":
        return len(bytearray(argument))
    elif verb == "long":
        return "x" * argument
    elif verb == "ignore_signals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(60)
    elif verb == "child":  # a grandchild of the pool, in the worker's group
        child = subprocess.Popen(["sleep", "60"])
        Path(argument).write_text(str(child.pid))
        time.sleep(60)
    elif verb == "recurse":
        return do(["recurse", argument])
    elif verb == "pid":
        return os.getpid()
    elif verb == "print":
        print(argument, flush=True)
        os.write(2, b"noise")
    return verb
