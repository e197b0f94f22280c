"""Runs cases in processes of their own, in turns, and collects what they measured."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field

from . import CHECKOUT
from .peers.names import PEERS

CORES = sorted(os.sched_getaffinity(0))
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
     "TORCHINDUCTOR_COMPILE_THREADS"), "1")
#: Freed memory goes back to the system at once, so that no call can live on what an earlier one left behind.
NO_HOARDING = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
ISAS = ("avx512", "avx2", "baseline")


@dataclass(frozen=True)
class Settings:
    rounds: int = 31
    least_rounds: int = 7  # also where `seconds` are not enough
    seconds: float = 12.0  # for the rounds of one case
    sample_seconds: float = 0.02
    compiled_groups: tuple = ("cross_entropy", "options", "images", "elementwise", "weighted", "tutorial", "booster",
                              "call")


#: torch.compile takes ten seconds and more to compile a case: some groups go without, a quick run altogether.
QUICK = Settings(3, 2, 2.0, 0.002, ())


@dataclass
class Result:
    group: str
    case: str
    samples: dict = field(default_factory=dict)  # series -> one figure per round
    skipped: dict = field(default_factory=dict)  # library -> reason
    errors: list = field(default_factory=list)

    as_dict = asdict


class Worker:
    """A process of `benchmarks.worker`."""

    def __init__(self, job, environment):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"], cwd=CHECKOUT, env=os.environ | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.ready = self.ask(job)

    def ask(self, message):
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            raise RuntimeError(self.last_error())
        return json.loads(answer)

    def last_error(self):
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"the process ended with code {self.process.returncode}"

    def close(self):
        self.process.communicate()  # closes its standard input, upon which it ends


def jobs(case, settings):
    """What the processes of a case have to do, and their environments."""
    libraries = [name for name in PEERS if name != "torch.compile" or case.group in settings.compiled_groups]
    job = {"group": case.group, "case": case.name, "cores": CORES[-1:], "threads": 1, "libraries": libraries,
           "sample_seconds": settings.sample_seconds}
    if case.group == "isa":
        for isa in ISAS:
            libraries = ["NumPy"] if isa == "baseline" else []
            yield job | {"libraries": libraries, "suffix": f" {isa}"}, ONE_THREAD | {"FASTLOSS_ISA": isa}
    elif case.group == "threads":
        for library in ("fastloss", "PyTorch", "JAX"):
            for n_threads in thread_counts():
                # JAX has as many threads as processors that it may run on; the others are told.
                cores = CORES[:n_threads] if library == "JAX" else CORES
                yield (job | {"libraries": [library], "cores": cores, "threads": n_threads},
                       {"OMP_NUM_THREADS": str(n_threads)})
    elif case.group == "conditions":
        yield job | {"cores": CORES}, {}
    elif case.group == "memory":
        yield job | {"libraries": ["PyTorch", "JAX"]}, ONE_THREAD | NO_HOARDING
    else:
        yield job, ONE_THREAD


def thread_counts():
    counts = {1, 2, len(CORES)}
    counts |= {2**k for k in range(10) if 2**k < len(CORES)}
    return sorted(count for count in counts if count <= len(CORES))


def run_case(case, settings):
    result = Result(case.group, case.name)
    workers = []
    for job, environment in jobs(case, settings):
        try:
            workers.append(Worker(job, environment))
        except RuntimeError as error:
            result.errors.append(str(error))
            continue
        result.skipped |= workers[-1].ready["skipped"]
    try:
        measure(workers, result, settings)
    except RuntimeError as error:
        result.errors.append(str(error))
    for worker in workers:
        worker.close()
    return result


def measure(workers, result, settings):
    """Rounds: every series of every process once, so that drift of the machine hits all alike."""
    start = time.monotonic()
    for finished in range(settings.rounds if workers else 0):
        if finished >= settings.least_rounds and time.monotonic() - start > settings.seconds:
            break
        for worker in workers:
            for name, figure in worker.ask("go").items():
                result.samples.setdefault(name, []).append(figure)


def import_times(settings):
    """Seconds that a new interpreter takes to import a module (less what it takes to import nothing)."""
    from .peers import installed

    modules = {"fastloss": "fastloss", "NumPy": "numpy", "nothing": "sys"}
    modules |= {name: module for name, module in (
        ("PyTorch", "torch"), ("JAX", "jax.numpy"), ("scikit-learn", "sklearn._loss"), ("SciPy", "scipy.special"),
        ("numba", "numba")) if installed(name)}
    result = Result("import", "import time")
    with tempfile.TemporaryDirectory() as elsewhere:  # in the checkout, `fastloss` would be the source folder
        for _ in range(1 + settings.least_rounds):
            for name, module in modules.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", f"import {module}"], cwd=elsewhere, check=True)
                result.samples.setdefault(name, []).append(time.perf_counter() - start)
    nothing = result.samples.pop("nothing")
    # The first round read the files from the disk.
    result.samples = {name: [a - b for a, b in zip(samples, nothing)][1:] for name, samples in result.samples.items()}
    return result
