"""A child that ends in the way that its argument names."""

import os
import signal
import subprocess
import sys
import time

if __name__ == "__main__":
    way = sys.argv[1]
    if way == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if way == "hang":
        # With a process of its own, which must not stay.
        subprocess.Popen([sys.executable, __file__, "sleep"])
        time.sleep(600)
    if way == "sleep":
        time.sleep(600)
    if way == "fail":
        print("a warning of somebody", file=sys.stderr)
        print("ImportError: no module of that name", file=sys.stderr)
    sys.exit(way != "end")
