"""Processes, signals and interpreters: every way to start a process works after a parallel region, Ctrl-C waits for the
call and leaves the process intact, interpreters end while threads compute, and other libraries' threads do no harm.

Each test is a script in a process of its own, with a time limit: a hang is a failure. test_threads.py has the first
forks; here are the crowds.
"""

import importlib.util
import os
import sys

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
BUILD = os.environ.get("FASTLOSS_BUILD", "")

# A large call of two threads and a small one, with what they give; `same()` says whether they still give it.
COMMON = """
import os, signal, sys, threading, time
import numpy as np, fastloss as fl

rng = np.random.default_rng(0)
x, y = rng.normal(size=(65536, 10)).astype(np.float32), rng.integers(0, 10, 65536)
raw, bits = rng.normal(size=300_000), rng.integers(0, 2, 300_000)


def compute():
    value, gradient = fl.cross_entropy.value_and_grad(x, y, n_threads=2)
    binary = fl.binary_cross_entropy_with_logits.grad(raw, bits, n_threads=2)
    return value, gradient.tobytes(), binary.tobytes(), fl.cross_entropy(x[:8], y[:8])


expected = compute()


def same():
    return compute() == expected


def ends_well(pid, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)  # our own child, which hangs
    os.waitpid(pid, 0)
    return False


def fork(work):
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = 0 if work() else 4
        finally:
            os._exit(code)
    return pid

"""


# --- fork -------------------------------------------------------------------------------------------------------------

@needs_fork
def test_100_forks_in_a_row(run_python):
    """All alive at once, ten at a time, while the parent computes too."""
    code = COMMON + """
for batch in range(10):
    children = [fork(same) for _ in range(10)]
    assert same()
    assert all([ends_well(pid) for pid in children]), batch
print("survived")
"""
    assert run_python(code, timeout=110) == "survived"


@needs_fork
def test_four_generations(run_python):
    code = COMMON + """
def generation(left):
    return same() and (left == 0 or ends_well(fork(lambda: generation(left - 1)))) and same()

for _ in range(5):
    assert generation(4)
print("survived")
"""
    assert run_python(code, timeout=110) == "survived"


@needs_fork
def test_forks_from_threads_while_others_compute(run_python):
    """Four threads compute, and two others fork: no fork waits for a region, no child inherits half of one."""
    code = COMMON + """
stop, failures = threading.Event(), []


def work():
    while not stop.is_set():
        same() or failures.append("a thread that computes")


def forks():
    for _ in range(10):
        ends_well(fork(same)) or failures.append("a child")


workers = [threading.Thread(target=work) for _ in range(4)]
forkers = [threading.Thread(target=forks) for _ in range(2)]
for thread in workers + forkers:
    thread.start()
for thread in forkers:
    thread.join()
stop.set()
for thread in workers:
    thread.join()
assert not failures, failures
print("survived")
"""
    assert run_python(code, timeout=110) == "survived"


# --- the ways of the standard library and of joblib -------------------------------------------------------------------

POOL = COMMON + """
def job(n):
    return compute() == n


if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        assert pool.map_async(job, [expected] * 6).get(timeout=100) == [True] * 6
    assert same()
    print("survived")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(run_python, tmp_path, method):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    script = tmp_path / "pool.py"
    script.write_text(POOL.replace("METHOD", repr(method)))
    assert run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", timeout=110) == "survived"


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib(run_python, backend):
    """loky also limits the threads of its workers; fastloss keeps to it."""
    pytest.importorskip("joblib", reason="joblib is not installed")
    code = COMMON + f"""
from joblib import Parallel, delayed

calls = [delayed(fl.cross_entropy.value_and_grad)(x, y, n_threads=2) for _ in range(6)]
for value, gradient in Parallel(n_jobs=2, backend={backend!r}, timeout=100)(calls):
    assert (value, gradient.tobytes()) == expected[:2]
if {backend!r} == "loky":
    counts = Parallel(n_jobs=os.cpu_count(), timeout=100)(delayed(fl.get_num_threads)() for _ in range(4))
    assert set(counts) == {{1}}, counts
assert same()
print("survived")
"""
    assert run_python(code, timeout=110, env={"OMP_NUM_THREADS": None, "FASTLOSS_NUM_THREADS": None}) == "survived"


def test_16_threads_and_every_kind_of_call(run_python):
    """Losses of both native modules, transforms, combinations and errors, all at once."""
    code = COMMON + """
from concurrent.futures import ThreadPoolExecutor

combined = fl.combine([(fl.mse_loss, 1.0), (fl.l2_penalty, 0.1)])
probabilities = fl.softmax(x)


def wrong_label():
    try:
        fl.cross_entropy(x, y + 1)
    except IndexError as error:
        return str(error)


calls = [compute, wrong_label, lambda: fl.softmax(x).tobytes(), lambda: fl.logsumexp(x).tobytes(),
         lambda: fl.softmax_focal_loss.grad(x, y).tobytes(), lambda: fl.multi_margin_loss(x, y),
         lambda: combined.grad(raw, raw[::-1]).tobytes(), lambda: fl.huber_loss.grad(raw[::2], raw[1::2]).tobytes(),
         lambda: fl.entropy(probabilities).tobytes(), lambda: fl.cross_entropy(x.astype(np.float16), y),
         lambda: fl.gaussian_nll_loss(raw, raw, np.abs(raw))]
right = [call() for call in calls]
with ThreadPoolExecutor(16) as pool:
    futures = [pool.submit(calls[n % len(calls)]) for n in range(16 * len(calls))]
    for n, future in enumerate(futures):
        assert future.result(timeout=100) == right[n % len(calls)], n
print("survived")
"""
    assert run_python(code, timeout=110) == "survived"


# --- signals ----------------------------------------------------------------------------------------------------------

@needs_signals
@pytest.mark.parametrize("threads", [1, 2])
def test_keyboard_interrupt_waits_for_the_call(run_python, threads):
    """SIGINT in the middle of a call: KeyboardInterrupt comes when the call has ended, with all of `out` written."""
    code = COMMON + f"""
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs in the background inherits that it is ignored
size = 20_000_000
input, target = np.broadcast_to(np.float32(0.5), size), np.broadcast_to(np.float32(1), size)


def interrupted_in_the_middle():
    out = np.full(size, np.nan, np.float32)
    middle = []

    def interrupt():
        while np.isnan(out[0]):  # until the call is at work
            time.sleep(0)
        middle.append(np.isnan(out[-1]))
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    returned = False
    try:
        fl.log_cosh_loss.grad(input, target, out=out, reduction="sum", n_threads={threads})
        returned = True
        time.sleep(30)
    except KeyboardInterrupt:
        watcher.join()
        assert (out == out[0]).all()
        assert same()
        return middle[0] and not returned
    raise AssertionError("no KeyboardInterrupt")


# On a busy machine the watcher may come too late.
assert any(interrupted_in_the_middle() for _ in range(20))
print("intact")
"""
    assert run_python(code, timeout=110) == "intact"


@needs_signals
def test_calls_from_a_signal_handler(run_python):
    """Python runs handlers between the calls, never within one; so they may call fastloss as well."""
    code = COMMON + """
handled = []
signal.signal(signal.SIGALRM, lambda number, frame: handled.append(same()))
for n in range(20):
    signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.0005 * n)  # once: no handler within the handler
    deadline = time.monotonic() + 60
    while len(handled) == n and time.monotonic() < deadline:
        assert same()
assert handled == [True] * 20, handled
print("handled")
"""
    assert run_python(code, timeout=110) == "handled"


# --- interpreters -----------------------------------------------------------------------------------------------------

def test_sub_interpreters_work_or_refuse(run_python):
    """NumPy does not support them; whatever it does there, it is an exception or the right numbers, and no crash."""
    code = COMMON + """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

script = f'''
import os
path = {sys.path!r}
import sys
sys.path[:] = path
try:
    import warnings
    warnings.simplefilter("ignore")
    import fastloss as fl
    answer = repr(fl.mse_loss([1.0, 2.0], [0.0, 0.0]))
except ImportError:
    answer = "refused"
os.write(WRITE, answer.encode() + b" ")
'''
read, write = os.pipe()
for _ in range(3):
    interpreter = interpreters.create()
    problem = interpreters.run_string(interpreter, script.replace("WRITE", str(write)))
    assert problem is None, problem
    interpreters.destroy(interpreter)
    assert same()
os.close(write)
answers = os.read(read, 1000).decode().split()
assert len(answers) == 3 and set(answers) <= {"2.5", "refused"}, answers
print(answers[0])
"""
    assert run_python(code, timeout=110) in ("2.5", "refused")


def test_the_interpreter_ends_while_a_daemon_thread_computes(run_python_unchecked):
    """No crash, no hang, no message, wherever in a call the thread is."""
    code = COMMON + """
def work():
    while True:
        compute()


for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05 + 0.01 * ATTEMPT)
"""
    for attempt in range(8):
        done = run_python_unchecked(code.replace("ATTEMPT", str(attempt)), timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), f"attempt {attempt}: {done.returncode}\n{done.stderr}"


# --- other libraries that bring threads -------------------------------------------------------------------------------

# For each the import, and a use of its threads that says whether the numbers are right.
OTHERS = {
    "torch": """
def use_other():
    torch.set_num_threads(2)
    other = torch.nn.functional.cross_entropy(torch.from_numpy(x), torch.from_numpy(y)).item()
    return abs(other - expected[0]) < 1e-5
""",
    "sklearn": """
import sklearn.ensemble, warnings
warnings.simplefilter("ignore")
def use_other():
    trees = sklearn.ensemble.HistGradientBoostingClassifier(max_iter=3, random_state=0)
    labels = x[:4000, 0] > 0
    return trees.fit(x[:4000], labels).score(x[:4000], labels) > 0.9
""",
    "numba": """
@numba.njit(parallel=True)
def total(values):
    result = 0.0
    for i in numba.prange(values.size):
        result += values[i]
    return result
def use_other():
    return abs(total(raw) - raw.sum()) < 1e-6
""",
    "jax": """
import jax.numpy as jnp
def use_other():
    logp = jax.nn.log_softmax(jnp.asarray(x), axis=1)
    return abs(float(-jnp.take_along_axis(logp, jnp.asarray(y)[:, None], 1).mean()) - expected[0]) < 1e-5
""",
}


@pytest.mark.parametrize("first", ["fastloss first", "fastloss last"])
@pytest.mark.parametrize("library", OTHERS)
def test_import_order(run_python, library, first):
    """Taking turns, from two threads at once, and in a forked child: right numbers, no hang.

    The child only uses fastloss: the other libraries hang there of themselves, or say that they might.
    """
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    if BUILD in ("asan", "tsan"):
        pytest.skip(f"{library} is not built for {BUILD}")
    code = (COMMON + f"import {library}\n" if first == "fastloss first" else f"import {library}\n" + COMMON)
    code += OTHERS[library] + """
for _ in range(3):
    assert use_other()
    assert same()
answers = []
thread = threading.Thread(target=lambda: answers.extend(same() for _ in range(10)))
thread.start()
for _ in range(3):
    assert use_other()
thread.join()
assert answers == [True] * 10, answers
if hasattr(os, "fork"):
    for _ in range(5):
        assert ends_well(fork(same))
assert use_other() and same()
print("right")
os._exit(0)  # not the subject here: how another library ends
"""
    code = code.replace('print("right")', 'print("right", flush=True)')
    env = {"OMP_NUM_THREADS": None, "FASTLOSS_NUM_THREADS": None, "JAX_PLATFORMS": "cpu"}
    assert run_python(code, timeout=118, env=env).splitlines()[-1] == "right"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_no_more_threads_than_the_most(run_python):
    """Of a call with blocks for many more of them."""
    code = """
import os, numpy as np, fastloss as fl
x = np.broadcast_to(np.float32(1.0), (4096, 4096))
before = len(os.listdir("/proc/self/task"))
fl.mse_loss(x, x, n_threads=2**62)
started = len(os.listdir("/proc/self/task")) - before
assert started == fl._check.MOST_THREADS - 1, started
print("bounded")
"""
    assert run_python(code) == "bounded"
