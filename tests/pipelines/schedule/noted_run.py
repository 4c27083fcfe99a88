"""A run that notes that it has begun, and ends some seconds later: noted_run.py BEGUN SECONDS."""

import json
import os
import sys
import time
from pathlib import Path

with Path(sys.argv[1]).open("a") as begun:
    begun.write(f"{os.getpid()}\n")
time.sleep(float(sys.argv[2]))
print(json.dumps({"status": "pushed", "pushed_to": f"/pushed/{os.getpid()}", "reasons": []}))
