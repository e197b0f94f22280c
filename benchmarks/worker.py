"""The process in which one case is measured; `runner.Worker` is its other end.

    python -m benchmarks.worker

reads one line of JSON, the job, from standard input: group and case, libraries, cores to run on, threads, seconds of
one sample. It answers with a line of JSON: the names of its series, and the libraries it left out with the reasons.
Then, for each line that comes, it measures every series once and answers with the figures.
"""

import collections
import json
import os
import subprocess
import sys

# Nothing heavy is imported above main(): the libraries look at the affinity when they are loaded.


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    job = json.loads(sys.stdin.readline())
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    series, skipped = prepare(job)
    for one in series:
        one.calibrate(job["sample_seconds"])
    tell(answers, {"series": [one.name for one in series], "skipped": skipped})
    turn = collections.deque(series)
    for _ in sys.stdin:
        tell(answers, {one.name: one.sample() for one in turn})
        turn.rotate(1)  # no library always runs after the same other


def tell(answers, message):
    print(json.dumps(message), file=answers, flush=True)


def prepare(job):
    from . import cases

    case = cases.find(job["group"], job["case"])
    data = cases.make_data(case)
    if case.condition:
        return under_condition(case, data), {}
    if case.group == "memory":
        return for_memory(case, data, job["libraries"])
    if case.group == "threads":
        return with_threads(case, data, job["libraries"], job["threads"])
    return beside_peers(case, data, job)


def beside_peers(case, data, job):
    from . import cases
    from .timing import Series

    suffix = job.get("suffix", "")
    _, limit = cases.limit(case, data)
    series = [Series("limit" + suffix, limit), Series("fastloss" + suffix, cases.fastloss_call(case, data))]
    for name, other in case.neighbours():
        series.append(Series(name, cases.fastloss_call(other, cases.make_data(other))))
    peers, skipped = peer_calls(case, data, job["libraries"])
    return series + [Series(name, call) for name, call in peers.items()], skipped


def peer_calls(case, data, libraries):
    from . import peers

    calls, skipped = {}, {}
    for name in libraries:
        try:
            calls[name] = peers.make(name, case, data)
        except peers.NotOffered as reason:
            skipped[name] = str(reason)
        except Exception as error:  # one peer's trouble is reported, and must not cost the case
            skipped[name] = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return calls, skipped


def with_threads(case, data, libraries, n_threads):
    from . import cases
    from .timing import Series

    name = f"{n_threads} thread" + "s" * (n_threads > 1)
    if libraries == ["fastloss"]:
        return [Series(f"fastloss, {name}", cases.fastloss_call(case, data, n_threads=n_threads))], {}
    calls, skipped = peer_calls(case, data, libraries)
    return [Series(f"{peer}, {name}", call) for peer, call in calls.items()], skipped


def under_condition(case, data):
    from . import cases, timing

    how = "time after a pause" if "idle" in case.condition else "time"
    if "at once" in case.condition:
        calls = [cases.fastloss_call(case, cases.make_data(case)) for _ in range(8)]
        return timing.throughput(calls, 8)
    if "busy" in case.condition:
        keep_one_core_busy()
    one, two = (cases.fastloss_call(case, data, n_threads=n_threads) for n_threads in (1, 2))
    one(), two()
    return [timing.Series("1 thread", one, how), timing.Series("2 threads", two, how)]


def keep_one_core_busy():
    """A process that counts until it is killed or this one is gone."""
    core = min(os.sched_getaffinity(0))
    program = (f"import os\nos.sched_setaffinity(0, [{core}])\nparent = os.getppid()\n"
               "while os.getppid() == parent:\n    sum(range(100_000))")
    return subprocess.Popen([sys.executable, "-c", program])


def for_memory(case, data, libraries):
    from . import cases
    from .timing import Series

    data.grad.fill(0)  # pages that nobody has written to do not exist yet
    calls = {"fastloss": cases.fastloss_call(case, data)}
    peers, skipped = peer_calls(case, data, libraries)
    return [Series(name, call, "memory") for name, call in (calls | peers).items()], skipped


if __name__ == "__main__":
    main()
