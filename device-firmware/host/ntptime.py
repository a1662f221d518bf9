# ntptime: hosts that answer or do not, and may be wrong.
import utime
import world

host = ""
HOSTS = ("time.one", "time.two")


def time():
    if host not in HOSTS or not world.shared[world.ANSWERS] >> HOSTS.index(host) & 1:
        raise OSError(110)
    wrong = world.number(world.NTP_OFF)
    return int(utime.time()) - 946684800 + (wrong - (1 << 32) if wrong >> 31 else wrong)
