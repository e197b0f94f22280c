"""One sample of one call: a time, or the memory it took."""

import functools
import gc
import time
from dataclasses import dataclass
from itertools import repeat

PAUSE = 0.03


@dataclass
class Series:
    """A callable that is measured beside others. `sample` gives one figure: seconds per call, or bytes."""

    name: str
    call: object
    how: str = "time"  # or "time after a pause", "memory"
    number: int = 1  # calls in one sample

    def calibrate(self, seconds):
        """As many calls as fill `seconds`, so that the clock's resolution does not matter."""
        if self.how == "time":
            self.call()
            self.number = max(1, round(seconds / timed(self.call, 1)))
            if self.number > 100:  # the first calls are slow
                self.number = max(1, round(seconds / timed(self.call, 100)))

    def sample(self):
        if self.how == "memory":
            return peak_extra_memory(self.call)
        if self.how == "time after a pause":
            time.sleep(PAUSE)
        else:
            self.call()  # the caches belong to whoever was measured before
        return timed(self.call, self.number)


def timed(call, number):
    start = time.perf_counter()
    for _ in repeat(None, number):
        call()
    return (time.perf_counter() - start) / number


def peak_extra_memory(call):
    """Bytes by which the resident memory grew at most during the call. Linux only."""
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from here
    before = status("VmHWM")
    call()
    return status("VmHWM") - before


def status(key):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) * 1024


def at_once(pool, calls):
    for future in [pool.submit(call) for call in calls]:
        future.result()


def throughput(calls, workers):
    """The same calls one after the other, and from a pool of threads."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers)
    return [
        Series("one after the other", lambda: [call() for call in calls]),
        Series(f"pool of {workers} workers", functools.partial(at_once, pool, calls)),
    ]
