# From the starter to what it has chosen. Whatever ends a program is a failed start: it is counted at the next one.
import gc
import sys


def main():
    import starter

    name = starter.main()
    # Emptied, not only let go of: an old pointer somewhere on the stack would keep all of it through the program's life.
    starter.__dict__.clear()
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
