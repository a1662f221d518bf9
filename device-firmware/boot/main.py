# Runs after boot.py, but not in the raw REPL: tools reach a board whatever program it has.
# Whatever ends a program is a failed start; it is counted when the board starts again.
import gc
import sys

import starter

name = starter.main()
del starter
gc.collect()
try:
    __import__(name).main()
except (KeyboardInterrupt, SystemExit):
    raise  # somebody is at the console
except BaseException as error:
    sys.print_exception(error)
import machine

machine.reset()
