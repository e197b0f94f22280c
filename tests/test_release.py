"""What a release depends on and no compiler checks: versions that must agree, workflows, the list of wheels."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import zipfile

import pytest

import fastloss as fl

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
checkout = pytest.mark.skipif(not WORKFLOWS, reason="needs the checkout")

ARCHITECTURES = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": ("win_amd64", "win_arm64"),
}


@checkout
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path):
    """By commit, which nobody can move, with the version beside it; and no job has a right that it does not name."""
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    assert re.search(r"^permissions: \{\}$", text, re.M)
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


@checkout
def test_only_the_publishing_job_may_have_a_token():
    texts = {path.name: path.read_text(encoding="utf-8") for path in WORKFLOWS}
    assert [name for name, text in texts.items() if "id-token" in text] == ["release.yml"]
    before, _, publish = texts["release.yml"].partition("\n  publish:\n")
    assert "id-token: write" in publish
    assert "id-token" not in before
    assert "secrets." not in "".join(texts.values())


GOOD_WHEEL = {"fastloss/py.typed": b"", "fastloss/margin.pyi": b"", "fastloss/_native/engine.abi3.so": b"code",
              "fastloss.libs/libgomp-1.so": bytes(2_000_000), "fastloss-0.dist-info/licenses/LICENSE": b"",
              "fastloss-0.dist-info/licenses/LICENSE-libgomp.txt": b""}


@checkout
@pytest.mark.parametrize(("name", "change", "problem"), [
    ("cp311-abi3", {}, None),
    ("cp314-cp314t", {}, None),
    ("cp312-cp312", {}, "its tag is neither"),
    ("cp314-cp314", {}, "its tag is neither"),
    ("cp313-cp314t", {}, "its tag is neither"),
    ("cp311-abi3", {"fastloss.libs/vcomp140-0123.dll": bytes(2_000_000)}, None),
    ("cp311-abi3", {"fastloss-0.dist-info/licenses/LICENSE": None}, "LICENSE is missing"),
    ("cp311-abi3", {"fastloss-0.dist-info/licenses/LICENSE-libgomp.txt": None}, "LICENSE-libgomp.txt is missing"),
    ("cp311-abi3", {"fastloss/margin.pyi": None}, "the stubs are missing"),
    ("cp311-abi3", {"fastloss/_native/rows.h": b""}, "rows.h should not be in it"),
    ("cp311-abi3", {"fastloss/_native/engine.abi3.so": None}, "no compiled modules"),
    ("cp311-abi3", {"fastloss/_native/engine.cpython-311.so": b""}, "not built for the stable ABI"),
    ("cp311-abi3", {"fastloss/_native/engine.abi3.so": b".debug_info"}, "has debug symbols"),
    ("cp311-abi3", {"fastloss/_native/engine.abi3.so": b"/home/"}, "names a folder /home/"),
    ("cp311-abi3", {"fastloss/_native/engine.abi3.so": bytes(10**6 + 1)}, "1,000,000 are allowed"),
    ("cp311-abi3", {"fastloss-0.dist-info/licenses/LICENSE-libomp.txt": b""}, None),
    ("cp311-abi3", {"fastloss-0.dist-info/licenses/LICENSE-libomp.txt": bytes(10**6 + 1)}, "1,000,000 are allowed"),
])
def test_check_wheel(name, change, problem, tmp_path):
    """tools/check_wheel.py passes a sound wheel, the size of whose runtime does not count, and says what is wrong."""
    path = tmp_path / f"fastloss-0-{name}-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in (GOOD_WHEEL | change).items():
            if content is not None:
                wheel.writestr(file, content)
    done = subprocess.run([sys.executable, ROOT / "tools" / "check_wheel.py", path], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr.count("\n")) == ((0, 0) if problem is None else (1, 1)), done.stderr
    assert problem is None or problem in done.stderr


@checkout
def test_nothing_unchecked_is_published():
    """Before the upload: the wheels as check_wheel.py wants them, and a tag that is the version."""
    before, upload, _ = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8").partition(
        "pypa/gh-action-pypi-publish@")
    assert upload
    assert "python tools/check_wheel.py dist/*.whl" in before
    script = re.search(r"python - <<'PY'\n(.*?)\n +PY\n", before, re.S)[1]
    for tag, status in ((f"v{fl.__version__}", 0), ("v0.0.0", 1), (fl.__version__, 1)):
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True,
                              check=False, env=os.environ | {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": tag})
        assert done.returncode == status, done.stderr


@checkout
def test_versions_agree():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert re.search(r'^  version: "(.*)"$', recipe, re.M)[1] == fl.__version__


@checkout
@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_builds_of_cibuildwheel(platform):
    if importlib.util.find_spec("cibuildwheel") is None:
        pytest.skip("cibuildwheel is not installed")
    listed = subprocess.run([sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", platform],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    pythons = ("cp311", "cp314t")
    expected = {f"{python}-{architecture}" for python in pythons for architecture in ARCHITECTURES[platform]}
    assert set(listed) == expected
