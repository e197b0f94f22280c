"""Threads: the same bits for any number, from any caller, after fork, and nothing global left behind."""

import concurrent.futures
import inspect
import math
import os
import platform
import re
import sys
import threading

import losses
import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl
from fastloss import _check, _threads

# Large enough to be worth more than one thread; many narrow rows, wide rows, and few very wide ones.
LARGE = [(65536, 10), (4096, 1000), (3, 100_000), (1, 300_000), (512, 20, 40)]
COUNTS = (2, 3, 8)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PLAIN = {}
SEVERAL = {"label_smoothing": 0.1, "ignore_index": 1, "reduction": "mean"}


def large(shape, dtype=np.float32):
    input, target = losses.sample_logits(np.random.default_rng(0), dtype, shape)
    return input, target


@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("options", [PLAIN, SEVERAL], ids=["plain", "several options"])
def test_cross_entropy_has_the_same_bits_for_any_number_of_threads(shape, options):
    input, target = large(shape)
    if options:
        options = {**options, "weight": losses.weights(np.random.default_rng(1), np.float32, shape[1])}
    expected = fl.cross_entropy.value_and_grad(input, target, n_threads=1, **options)
    for count in COUNTS:
        got = fl.cross_entropy.value_and_grad(input, target, n_threads=count, **options)
        assert_same_bits(got, expected, f"{count} threads")


@pytest.mark.parametrize("shape", [(65536, 10), (2048, 1000), (3, 100_000)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_and_all_results(shape, dtype):
    input, target = large(shape, dtype)
    expected = [fl.cross_entropy.grad_and_hess(input, target, n_threads=1),
                fl.cross_entropy(input, target, n_threads=1, reduction="none"),
                fl.nll_loss.value_and_grad(input, target, n_threads=1)]
    for count in COUNTS:
        got = [fl.cross_entropy.grad_and_hess(input, target, n_threads=count),
               fl.cross_entropy(input, target, n_threads=count, reduction="none"),
               fl.nll_loss.value_and_grad(input, target, n_threads=count)]
        for mine, other in zip(got, expected):
            assert_same_bits(mine, other, f"{count} threads")


def test_probability_targets_and_sample_weights():
    input, _ = large((20_000, 30))
    target = np.random.default_rng(1).dirichlet(np.ones(30), 20_000).astype(np.float32)
    sample_weight = np.random.default_rng(2).integers(0, 3, 20_000)
    expected = fl.cross_entropy.value_and_grad(input, target, sample_weight=sample_weight, n_threads=1)
    for count in COUNTS:
        got = fl.cross_entropy.value_and_grad(input, target, sample_weight=sample_weight, n_threads=count)
        assert_same_bits(got, expected, f"{count} threads")


@pytest.mark.parametrize("axis", [1, 2])
def test_strided_classes(axis):
    input, target = large((64, 32, 32))
    target = np.minimum(target, 31) if axis == 1 else np.zeros((64, 32), int)
    expected = fl.cross_entropy.value_and_grad(input, target, axis=axis, n_threads=1)
    for count in COUNTS:
        assert_same_bits(fl.cross_entropy.value_and_grad(input, target, axis=axis, n_threads=count), expected)


@pytest.mark.parametrize("function", [fl.softmax, fl.log_softmax, fl.logsumexp],
                         ids=["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("shape", LARGE[:3], ids=str)
def test_transforms(function, shape):
    input, _ = large(shape)
    expected = function(input, n_threads=1)
    for count in COUNTS:
        assert_same_bits(function(input, n_threads=count), expected, f"{count} threads")


def test_the_same_call_twice_gives_the_same_bits():
    """Schedules differ from run to run; the order of the partial sums must not."""
    input, target = large((65536, 10))
    results = {fl.cross_entropy(input, target, n_threads=8) for _ in range(30)}
    assert len(results) == 1


def test_callers_in_many_threads():
    """Eight Python threads, each with calls of two threads: every result right, none lost."""
    arguments = [large((3000 + 64 * n, 12)) for n in range(8)]
    expected = [fl.cross_entropy.value_and_grad(*pair, n_threads=1) for pair in arguments]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(fl.cross_entropy.value_and_grad, *arguments[n % 8], n_threads=1 + n % 3)
                   for n in range(64)]
        for n, future in enumerate(futures):
            assert_same_bits(future.result(timeout=60), expected[n % 8])


def test_an_error_in_one_caller_does_not_disturb_another():
    input, target = large((20_000, 10))
    bad = target.copy()
    bad[-1] = 10
    expected = fl.cross_entropy.value_and_grad(input, target)

    def call(n):
        if n % 2:
            with pytest.raises(IndexError, match="target"):
                fl.cross_entropy.value_and_grad(input, bad, n_threads=2)
        else:
            assert_same_bits(fl.cross_entropy.value_and_grad(input, target, n_threads=2), expected)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(call, n) for n in range(20)]:
            future.result(timeout=60)


# --- the number of threads --------------------------------------------------------------------------------------------


@pytest.fixture
def restored():
    before = fl.get_num_threads()
    yield before
    fl.set_num_threads(before)


def test_default_is_at_least_1_and_at_most_the_cpus():
    assert 1 <= fl.get_num_threads() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
@pytest.mark.parametrize("order", ["before the import", "after the import"])
@pytest.mark.parametrize("omp", [None, "8"], ids="OMP_NUM_THREADS={}".format)
def test_default_is_capped_by_the_affinity(run_python, order, omp):
    """OpenMP itself looks at it only when it is loaded, and never if the variable is set."""
    lines = ["import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])", "import fastloss"]
    code = "\n".join(lines if order.startswith("before") else lines[::-1]) + "\nprint(fastloss.get_num_threads())"
    assert run_python(code, env={"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": omp}) == "1"


def test_set_num_threads(restored):
    for count in (1, 3, 2):
        fl.set_num_threads(count)
        assert fl.get_num_threads() == count
    input, target = large((20_000, 10))
    assert_same_bits(fl.cross_entropy(input, target), fl.cross_entropy(input, target, n_threads=1))


def test_num_threads_context(restored):
    fl.set_num_threads(2)
    with fl.num_threads(5):
        assert fl.get_num_threads() == 5
        with fl.num_threads(1):
            assert fl.get_num_threads() == 1
        assert fl.get_num_threads() == 5
    assert fl.get_num_threads() == 2


def test_num_threads_context_is_left_after_an_error(restored):
    fl.set_num_threads(2)
    with pytest.raises(KeyError), fl.num_threads(5):
        raise KeyError
    assert fl.get_num_threads() == 2


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_1_thread(restored, count):
    for call in (fl.set_num_threads, lambda n: fl.num_threads(n).__enter__()):
        with pytest.raises(ValueError, match=str(count)):
            call(count)
    for function in (fl.softmax, fl.log_softmax, fl.logsumexp):
        with pytest.raises(ValueError, match="n_threads"):
            function(np.zeros(3), n_threads=count)
    assert fl.get_num_threads() == restored


@pytest.mark.parametrize("count", [1.5, "2"], ids=repr)
def test_a_number_of_threads_that_is_no_integer(restored, count):
    with pytest.raises(TypeError):
        fl.set_num_threads(count)
    assert fl.get_num_threads() == restored


def test_numpy_integers_are_integers(restored):
    input, target = large((100, 10))
    assert_same_bits(fl.cross_entropy(input, target, n_threads=np.int64(2)), fl.cross_entropy(input, target))
    fl.set_num_threads(np.int8(2))
    assert fl.get_num_threads() == 2


def test_absurdly_many_threads():
    """More than any machine has: the result, and not a crash for want of stack space or threads."""
    input, target = large((65536, 10))
    expected = fl.cross_entropy.value_and_grad(input, target, n_threads=1)
    for count in (1000, 2**31, 2**62):
        assert_same_bits(fl.cross_entropy.value_and_grad(input, target, n_threads=count), expected)
    assert _check.thread_count(2**62) == _check.MOST_THREADS <= 16 * os.cpu_count()


# --- the environment --------------------------------------------------------------------------------------------------

SHOW_COUNT = "import fastloss; print(fastloss.get_num_threads())"


def test_fastloss_num_threads_variable(run_python):
    """It goes before OpenMP's own variable; how far it goes depends on the machine, so compare with the default."""
    default = int(run_python(SHOW_COUNT, env={"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": None}))
    assert run_python(SHOW_COUNT, env={"FASTLOSS_NUM_THREADS": "1", "OMP_NUM_THREADS": None}) == "1"
    if default > 1:
        assert run_python(SHOW_COUNT, env={"FASTLOSS_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}) == "2"


def test_omp_num_threads_variable(run_python):
    assert run_python(SHOW_COUNT, env={"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": "1"}) == "1"
    assert run_python(SHOW_COUNT, env={"FASTLOSS_NUM_THREADS": None, "OMP_THREAD_LIMIT": "1"}) == "1"


def test_threadpoolctl_limits_the_default(run_python):
    pytest.importorskip("threadpoolctl")
    code = """
import fastloss as fl, threadpoolctl
before = fl.get_num_threads()
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    assert fl.get_num_threads() == 1, fl.get_num_threads()
assert fl.get_num_threads() == before
print("limited")
"""
    assert run_python(code, env={"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": None}) == "limited"


# A container's files: {path: text} below the root, the process's own list of groups, and the CPUs they grant.
CGROUPS = {
    "version 2": ({"cpu.max": "150000 100000\n"}, "0::/\n", 2),
    "version 2, no limit": ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
    "version 2, less than one CPU": ({"a/cpu.max": "1000 100000\n"}, "0::/a\n", 1),
    "version 2, exact": ({"a/cpu.max": "300000 100000\n"}, "0::/a\n", 3),
    "version 2, the parent's is smaller": ({"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n",
                                            "a/b/c/cpu.max": "900000 100000\n"}, "0::/a/b/c\n", 2),
    "version 2, a neighbour's": ({"a/cpu.max": "max 100000\n", "b/cpu.max": "100000 100000\n"}, "0::/a\n", math.inf),
    "version 2, the path of the host": ({"cpu.max": "400000 100000\n"}, "0::/docker/0123456789\n", 4),
    "version 1": ({"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
                  "5:memory:/m\n4:cpu:/a\n1:name=systemd:/\n0::/\n", 3),
    "version 1, no limit": ({"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
                            "4:cpu:/a\n", math.inf),
    "version 1, two controllers": ({"cpu,cpuacct/a/cpu.cfs_quota_us": "50000\n",
                                    "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/a\n", 1),
    "version 1, the path of the host": ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
                                        "4:cpu:/docker/0123456789\n", 2),
    "nonsense": ({"cpu.max": "plenty\n", "cpu/cpu.cfs_quota_us": "much\n"}, "0::/\n", math.inf),
    "no such files": ({}, "0::/\n", math.inf),
    "a line cut short": ({"cpu.max": "150000 100000\n"}, "0:\n", 2),
    "a line cut short after a good one": ({"a/cpu.max": "150000 100000\n"}, "0::/a\n0\n", 2),
    "a path that is no UTF-8": ({"a\udcff/cpu.max": "150000 100000\n"}, "0::/a\udcff\n", 2),
}


@pytest.mark.parametrize("what", CGROUPS)
def test_cpu_quota_of_a_container(what, tmp_path):
    files, groups, expected = CGROUPS[what]
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    membership = tmp_path / "membership"
    membership.write_bytes(os.fsencode(groups))
    assert _threads.cpu_quota(tmp_path / "cgroup", membership) == expected


def test_cpu_quota_looks_where_linux_has_the_files():
    parameters = inspect.signature(_threads.cpu_quota).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "root": "/sys/fs/cgroup", "membership": "/proc/self/cgroup"}


def test_cpu_quota_without_control_groups(tmp_path):
    assert _threads.cpu_quota(tmp_path / "none", tmp_path / "neither") == math.inf


@pytest.mark.parametrize("quota, expected", [(1, 1), (3, 3), (8, 8), (9, 8), (math.inf, 8)])
def test_the_quota_caps_the_default_only(monkeypatch, quota, expected):
    monkeypatch.setattr(_threads, "_process", None)
    monkeypatch.setattr(_threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(_threads.engine, "parallel_limit", lambda: 8)
    assert fl.get_num_threads() == expected
    with fl.num_threads(10):
        assert fl.get_num_threads() == 10


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "1"}, {"FASTLOSS_NUM_THREADS": "1"}], ids=str)
def test_no_more_threads_than_the_default(run_python, variables):
    """Counted by the system, after calls of every kind."""
    code = """
import os, numpy as np
before = len(os.listdir("/proc/self/task"))
import fastloss as fl
x, y = np.ones((65536, 10), np.float32), np.zeros(65536, int)
for _ in range(10):
    fl.cross_entropy.value_and_grad(x, y), fl.mse_loss(x, x), fl.softmax(x)
started = len(os.listdir("/proc/self/task")) - before
assert started == fl.get_num_threads() - 1, (started, fl.get_num_threads())
print("as many")
"""
    env = {"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": None, **variables}
    assert run_python(code, env=env) == "as many"


SHARED = """
import os, threading, time
import numpy as np
import fastloss as fl

x, y = np.zeros((4096, 1000), np.float32), np.zeros(4096, int)
long_x, long_y = np.broadcast_to(x[:1], (200_000, 1000)), np.zeros(200_000, int)
stop, began = threading.Event(), threading.Event()

def compute():
    while not stop.is_set():
        began.set()
        fl.cross_entropy(long_x, long_y, n_threads=1)

def team(**options):
    before = len(os.listdir("/proc/self/task"))
    fl.cross_entropy(x, y, **options)
    return len(os.listdir("/proc/self/task")) - before

fl.set_num_threads(2)
others = [threading.Thread(target=compute) for _ in range(3)]
for thread in others:
    thread.start()
began.wait()
time.sleep(0.05)
beside_others = [team() for _ in range(5)]
stop.set()
for thread in others:
    thread.join()
if os.fork() == 0:
    os._exit(team() != 1)
assert os.waitpid(-1, 0)[1] == 0, "the child took the parent's calls for its own"
print(beside_others, team())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_calls_at_the_same_time_share_the_threads(run_python):
    """Without this, eight workers of a pool would bring eight teams."""
    assert run_python(SHARED) == "[0, 0, 0, 0, 0] 1"


def test_nothing_global_is_changed_for_others(run_python):
    """No environment left behind, not even for child processes; no omp_set_num_threads; no floating-point mode."""
    code = """
import os, subprocess, sys
show = [sys.executable, "-c", "import os; print(sorted((k, v) for k, v in os.environ.items() if k != '_'))"]
environment, inherited = dict(os.environ), subprocess.check_output(show)  # env=None: the C environment as it is
import numpy as np
errors, tiny = np.geterr(), np.array([5e-324, 1e-310])
import fastloss as fl
try:
    import threadpoolctl
    pools = lambda: [(pool["filepath"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()]
except ImportError:
    pools = list
before = pools()
x, y = np.ones((65536, 10), np.float32), np.zeros(65536, int)
for count in (1, 2, 3):
    fl.cross_entropy.value_and_grad(x, y, n_threads=count)
with fl.num_threads(1):
    fl.softmax(x)
assert pools() == before, (pools(), before)
assert dict(os.environ) == environment
assert subprocess.check_output(show) == inherited
assert np.geterr() == errors
assert (tiny * 1.0 != 0).all()
print("unchanged")
"""
    assert run_python(code) == "unchanged"


@pytest.mark.skipif(not (sys.platform == "linux" and platform.machine() == "x86_64"), reason="knows x86-64's MXCSR")
def test_threads_have_the_floating_point_mode_of_their_caller(run_python):
    """Not that of whoever made them: JAX's callbacks take subnormal numbers for 0."""
    code = """
import ctypes, ctypes.util
import numpy as np, fastloss as fl
libm = ctypes.CDLL(ctypes.util.find_library("m"))

def flush(on):
    environment = (ctypes.c_uint32 * 16)()  # fenv_t: 28 bytes of x87, then MXCSR
    libm.fegetenv(environment)
    environment[7] = environment[7] | 0x8040 if on else environment[7] & ~0x8040
    libm.fesetenv(environment)

x, y = np.full(200_000, 1e-38, np.float32), np.zeros(200_000, np.float32)
def gradient(threads):
    return fl.mse_loss.grad(x, y, reduction="sum", grad_output=0.1, n_threads=threads)
flush(True)
flushed = gradient(2)  # makes the threads
assert not flushed.any() and not gradient(1).any()
flush(False)
assert gradient(1).all() and gradient(2).all() and gradient(3).all()
flush(True)
assert not gradient(3).any()

logits, labels = np.zeros((65536, 10), np.float32), np.zeros(65536, int)
def of_classes(threads):
    return fl.cross_entropy.grad(logits, labels, reduction="sum", grad_output=1e-38, n_threads=threads)
assert not of_classes(1).any() and not of_classes(2).any()
flush(False)
assert of_classes(1).all() and of_classes(2).all()
print("same")
"""
    assert run_python(code) == "same"


@pytest.mark.parametrize(("variables", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "77"}, "77"),
                                                  ({"OMP_WAIT_POLICY": "active"}, None)], ids=str)
def test_how_long_threads_spin(run_python_unchecked, variables, spins):
    """A thousand times; what the user has set stays."""
    code = """
import numpy, os
maps = open("/proc/self/maps").read() if os.path.exists("/proc/self/maps") else ""
print("NumPy's" if "libgomp" in maps else "ours")
import fastloss
"""
    unset = dict.fromkeys(("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"))
    done = run_python_unchecked(code, env=unset | {"OMP_DISPLAY_ENV": "verbose"} | variables)
    assert done.returncode == 0, done.stderr
    count = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not count or done.stdout.strip() != "ours":
        pytest.skip("not libgomp, or NumPy has loaded it")
    assert count[1] == spins or (spins is None and count[1] != "1000")


# --- fork -------------------------------------------------------------------------------------------------------------

FORK = """
import os, signal, threading, time
import numpy as np, fastloss as fl

rng = np.random.default_rng(0)
x, y = rng.normal(size=(65536, 10)).astype(np.float32), rng.integers(0, 10, 65536)
expected, grad = fl.cross_entropy.value_and_grad(x, y, n_threads=2)   # a parallel region before the fork


def same():
    value, again = fl.cross_entropy.value_and_grad(x, y, n_threads=2)
    return value == expected and np.array_equal(again, grad)


def child(depth):
    pid = os.fork()
    if pid == 0:
        ok = same() and (depth == 0 or child(depth - 1))              # a grandchild too
        os._exit(0 if ok else 3)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)                                      # our own child, which hangs
    os.waitpid(pid, 0)
    return False


def hammer(forks):
    for attempt in range(forks):
        if not child(attempt % 2):
            return f"fork {attempt} failed or hung"
        if not same():
            return f"the parent is wrong after fork {attempt}"
    return "survived"

"""

FORK_WHILE_BUSY = FORK + """
stop = threading.Event()
def compute():
    while not stop.is_set():
        fl.cross_entropy.value_and_grad(x, y, n_threads=2)
worker = threading.Thread(target=compute)
worker.start()
try:
    result = hammer(20)
finally:
    stop.set()
    worker.join(30)
print(result)
"""


@needs_fork
def test_fork_after_a_parallel_region(run_python):
    assert run_python(FORK + "print(hammer(20))", timeout=100) == "survived"


@needs_fork
def test_fork_while_another_thread_computes(run_python):
    """The fork may come in the middle of another thread's region, whose helpers do not exist in the child."""
    assert run_python(FORK_WHILE_BUSY, timeout=100) == "survived"


@needs_fork
def test_multiprocessing_with_fork(run_python):
    code = """
import multiprocessing, numpy as np, fastloss as fl
x, y = np.random.default_rng(0).normal(size=(65536, 10)), np.zeros(65536, int)
expected = fl.cross_entropy(x, y, n_threads=2)
def job(n):
    return fl.cross_entropy(x, y, n_threads=1 + n % 3)
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = pool.map_async(job, range(8)).get(timeout=60)
assert results == [expected] * 8
print("survived")
"""
    assert run_python(code, timeout=100) == "survived"


@pytest.mark.skipif(sys.platform == "win32", reason="the same as the ordinary start there")
def test_multiprocessing_with_spawn_imports_afresh(run_python, tmp_path):
    script = tmp_path / "spawned.py"
    script.write_text("""
import multiprocessing, numpy as np, fastloss as fl
x, y = np.random.default_rng(0).normal(size=(20000, 10)), np.zeros(20000, int)
def job(n):
    return fl.cross_entropy(x, y, n_threads=n)
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map_async(job, [1, 2]).get(timeout=60) == [job(1)] * 2
    print("survived")
""")
    assert run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", timeout=100) == "survived"


def test_the_calling_thread_may_end():
    """A thread that ran a parallel region and ended takes nothing with it that the next caller needs."""
    input, target = large((20_000, 10))
    expected = fl.cross_entropy(input, target, n_threads=1)
    results = []
    for _ in range(5):
        thread = threading.Thread(target=lambda: results.append(fl.cross_entropy(input, target, n_threads=2)))
        thread.start()
        thread.join(60)
    assert results == [expected] * 5
