"""A program in a job server's place: it listens where it is told to until it is ended.

`python listener.py --job-port=PORT`; with `--ends` it ends at once, with an error.
"""

import argparse
import socket
import sys

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--job-port", type=int, required=True)
    parser.add_argument("--ends", action="store_true")
    known = parser.parse_known_args()[0]
    if known.ends:
        print("java.lang.IllegalStateException: no room for jobs", file=sys.stderr)
        sys.exit(3)
    with socket.create_server(("localhost", known.job_port)) as listener:
        while True:
            listener.accept()[0].close()
