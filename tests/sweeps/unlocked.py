"""A worker whose locks hold nothing, for the negative control."""

import fcntl
import sys

from trainers.sweeps import worker

if __name__ == "__main__":
    fcntl.flock = lambda file, operation: None
    worker._main(sys.argv[1:])
